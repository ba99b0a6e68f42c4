"""The shared buckets in Redis: one atomic script does all that is ever done to them.

A bucket is a hash: `tokens` at the moment `at` (microseconds of Redis' own clock), and how many of them are
out on lease beyond what was needed at once, by the `second` of that clock in which they were taken (`out`
in the current one, `out_before` in the one before).

Workers use what they lease within a second (`lease.LEASE_SECONDS`) and then say so. Until then the bucket
must not fill up behind their backs: tokens out on lease and tokens in the bucket together are never more
than the capacity, so at no time can more be used at once than one bucket would have given. A worker that
dies says nothing; after two seconds its lease is forgotten, when nobody can use it any more. What is given
back was taken before, so that it adds nothing; should its bucket have expired meanwhile, that was full, and
the capacity bounds it.
"""

LEAST_SHARE = 16
"""A lease has at most this part of what is left: several times the number of workers that are asking."""
NO_REFILL_HOURS = 24
"""How long an unused bucket is kept that never refills. One that does is kept until it is full."""
FIGURES = 8

SCRIPT = f"""
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local current = math.floor(now / 1000000)

local function exchange(key, capacity, rate, least, need, more, back, settled, settled_second)
  local kept = redis.call('HMGET', key, 'tokens', 'at', 'second', 'out', 'out_before')
  local tokens, at = tonumber(kept[1] or capacity), tonumber(kept[2] or now)
  local second, out, out_before = tonumber(kept[3] or 0), tonumber(kept[4] or 0), tonumber(kept[5] or 0)

  if current ~= second then
    out_before = current <= second + 1 and out or 0
    out = 0
  end
  tokens = math.min(tokens + math.max(0, now - at) * rate / 1000000, capacity - out - out_before)
  if settled_second == current then
    out = math.max(0, out - settled)
  elseif settled_second == current - 1 then
    out_before = math.max(0, out_before - settled)
  end
  tokens = math.min(tokens + back, capacity - out - out_before)

  local granted = 0
  if tokens - need >= least then
    local extra = math.min(more, math.floor(math.max(0, tokens - need) / {LEAST_SHARE}))
    granted = need + extra
    out = out + extra
  elseif least == 0 then
    granted = math.max(0, math.floor(tokens))
  end
  tokens = tokens - granted

  local keep = {NO_REFILL_HOURS * 3_600_000}
  if rate > 0 then
    keep = math.ceil((capacity - tokens) / rate * 1000) + 5000
  end
  redis.call('HSET', key,
    'tokens', tokens, 'at', now, 'second', current, 'out', out, 'out_before', out_before)
  redis.call('PEXPIRE', key, keep)
  return granted, math.floor(tokens * 1000)
end

local answers = {{current}}
for i, key in ipairs(KEYS) do
  local figures = {{}}
  for j = 1, {FIGURES} do
    figures[j] = tonumber(ARGV[(i - 1) * {FIGURES} + j])
  end
  answers[2 * i], answers[2 * i + 1] = exchange(key, unpack(figures))
end
return answers
"""
"""KEYS: the buckets. ARGV, for each: capacity; tokens refilled a second; least that may be left, 0 or a
debt; tokens needed at once; tokens wanted beyond these; tokens given back; tokens no longer out on lease,
and the second in which they were taken. Returns the second, then for each bucket tokens granted and
thousandths of a token left. Of what is needed a part is granted where there is no more, none of it where
tokens may be owed."""
