-- All token buckets of a request, at once: changed together, or, where one refuses, not at all.
--
-- KEYS: one for each bucket. ARGV[3]: what to do (0 take, 1 give back, 2 overdraw), how many tokens, and for each bucket
-- flags (1 shadow, 2 the key is a hash and the field follows), rate, burst, field.
--
-- A deficit has up to 128 bits and numbers here have 53, so it stands in three words to the base 10^14, low word last.
-- One token is 10^18 units: 10000 in the middle word. Products are formed of halves to the base 10^7; no sum on the way
-- reaches 2^53, so nothing is ever rounded.
local BASE, HALF = 100000000000000, 10000000
local TEN_YEARS = 315360000000

-- a - b, and zero where that is less.
local function less(a2, a1, a0, b2, b1, b0)
  local d2, d1, d0 = a2 - b2, a1 - b1, a0 - b0
  if d0 < 0 then d0 = d0 + BASE; d1 = d1 - 1 end
  if d1 < 0 then d1 = d1 + BASE; d2 = d2 - 1 end
  if d2 < 0 then return 0, 0, 0 end
  return d2, d1, d0
end

local action, tokens, at = struct.unpack('>BI4', ARGV[3])
local cost = tokens * 10000
local buckets, refused = {}, false
for i = 1, #KEYS do
  local flags, r0, r1, r2, burst, field
  flags, r0, r1, r2, burst, field, at = struct.unpack('>BI3I3I2I4c8', ARGV[3], at)
  local kept
  if flags >= 2 then kept = redis.call('HGET', KEYS[i], field) else kept = redis.call('GET', KEYS[i]) end
  local version, s2, s1, s0, updated = 1, 0, 0, 0, 0
  if kept then version, s2, s1, s0, updated = struct.unpack('>BI6I6I6I7', kept) end
  if version ~= 1 then return redis.error_reply('VERSION of a bucket is ' .. version) end

  -- What has flown back: nanoseconds since the last change times units per nanosecond.
  local f2, f1, f0 = 0, 0, 0
  local elapsed = now - updated
  if kept and elapsed > 0 then
    local e0 = (elapsed % 10000) * 1000
    local rest = math.floor(elapsed / 10000)
    local e1, e2 = rest % HALF, math.floor(rest / HALF)
    local p = e0 * r0
    local carry = math.floor(p / HALF)
    f0 = p - carry * HALF
    p = e0 * r1 + e1 * r0 + carry
    carry = math.floor(p / HALF)
    f0 = f0 + (p - carry * HALF) * HALF
    p = e0 * r2 + e1 * r1 + e2 * r0 + carry
    carry = math.floor(p / HALF)
    f1 = p - carry * HALF
    p = e1 * r2 + e2 * r1 + carry
    carry = math.floor(p / HALF)
    f1 = f1 + (p - carry * HALF) * HALF
    f2 = e2 * r2 + carry
  end

  local d2, d1, d0 = less(s2, s1, s0, f2, f1, f0)
  local n2, n1, n0, l2, l1, l0 = d2, d1, d0, d2, d1, d0
  local when, lacks = math.max(now, updated), false
  if action == 1 then
    n2, n1, n0 = less(s2, s1, s0, 0, cost, 0)
    l2, l1, l0 = less(n2, n1, n0, f2, f1, f0)
    when = updated
  elseif tokens > 0 or action == 2 then
    n1 = d1 + cost
    if n1 >= BASE then n1 = n1 - BASE; n2 = n2 + 1 end
    local capacity = burst * 10000
    lacks = action == 0 and (n2 > 0 or n1 > capacity or (n1 == capacity and n0 > 0))
    l2, l1, l0 = n2, n1, n0
    if lacks and flags % 2 == 0 then refused = true end
  end
  buckets[i] = {
    flags = flags, field = field, rate = r0 + r1 * HALF + r2 * BASE, when = when, lacks = lacks,
    n2 = n2, n1 = n1, n0 = n0, l2 = l2, l1 = l1, l0 = l0, d2 = d2, d1 = d1, d0 = d0,
  }
end

local answer = { struct.pack('>I7', server) }
for i = 1, #KEYS do
  local b = buckets[i]
  if refused or b.lacks then
    answer[i + 1] = struct.pack('>BI6I6I6', b.lacks and 1 or 0, b.d2, b.d1, b.d0)
  else
    answer[i + 1] = struct.pack('>BI6I6I6', 0, b.l2, b.l1, b.l0)
    if tokens > 0 or action == 2 then
      local state = struct.pack('>BI6I6I6I7', 1, b.n2, b.n1, b.n0, b.when)
      -- Until it is full, when it need not be remembered; about a second more than a rounded quotient says. A full one
      -- stays that second too: its last change counts if the clock is set back.
      local missing, life = b.n2 * BASE * BASE + b.n1 * BASE + b.n0, 0
      if missing > 0 then life = b.rate > 0 and math.ceil(missing / b.rate / 1000000) or TEN_YEARS end
      life = math.min(life, TEN_YEARS) + 1000
      if is_virtual then life = math.max(life, 600000) end
      if b.flags >= 2 then
        redis.call('HSET', KEYS[i], b.field, state)
        if redis.call('PTTL', KEYS[i]) < life then redis.call('PEXPIRE', KEYS[i], life) end
      else
        redis.call('SET', KEYS[i], state, 'PX', life)
      end
    end
  end
end
return table.concat(answer)
