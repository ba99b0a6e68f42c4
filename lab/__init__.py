"""Virtual hosts on one machine: real systemd, sshd and firewalls, deployed as hosts made of metal are."""
