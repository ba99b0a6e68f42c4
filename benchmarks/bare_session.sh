#!/bin/sh
# Times the sessions of a stock xrdp-sesman on this host: bare_session.sh TIMES. Runs as root, leaves nothing.
#
# Each is a login by password, an X server with xorgxrdp and the same desktop as Lucid's: from the request until
# the desktop's first program has a window. One line of seconds for each.
set -eu
user=bare-xrdp work=$(mktemp -d) port=3399
password=$(head -c 18 /dev/urandom | base64)
useradd --create-home --shell /bin/sh "$user"
printf '%s:%s\n' "$user" "$password" | chpasswd
sed -e "s/^ListenPort=.*/ListenPort=$port/" -e 's/^EnableSyslog=.*/EnableSyslog=false/' \
  -e "s|^LogFile=.*|LogFile=$work/log|" /etc/xrdp/sesman.ini >"$work/sesman.ini"
printf '#!/bin/sh\nexec openbox --startup /usr/libexec/lucid/light-desktop\n' >"/home/$user/startwm.sh"
chmod 0755 "/home/$user/startwm.sh"
xrdp-sesman --nodaemon --config "$work/sesman.ini" >/dev/null 2>&1 &
sesman=$!
clean() {
  kill "$sesman" 2>/dev/null || true
  pkill -KILL -u "$user" || true
  while pgrep -u "$user" >/dev/null; do sleep 0.1; done
  find /tmp /var/tmp -xdev -user "$user" -delete || true
  userdel --remove "$user" 2>/dev/null || true
  rm -rf "$work"
}
trap clean EXIT
sleep 1
for _ in $(seq "$1"); do
  begun=$(date +%s.%N)
  printf '%s\n' "$password" | xrdp-sesrun -c "$work/sesman.ini" -F 0 -g 1280x720 -b 24 -t Xorg "$user" >/dev/null
  until pgrep -u "$user" -x xterm >/dev/null; do sleep 0.02; done
  echo "$(date +%s.%N) - $begun" | awk '{print $1 - $3}'
  pkill -KILL -u "$user"
  while pgrep -u "$user" >/dev/null; do sleep 0.1; done
done
