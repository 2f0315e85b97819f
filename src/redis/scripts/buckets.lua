-- Token buckets, all of a request at once: changed together, or, where one refuses, not at all.
--
-- Each is a field of a hash (`b`, or eight bytes for a method): version 1, the deficit in three words, when that was in
-- microseconds, and until when, in milliseconds, the key certainly lives (0: not known).
--
-- A deficit has up to 128 bits and numbers here have 53, so it stands in three words to the base 10^14, low word last.
-- One token is 10^18 units: 10000 in the middle word. Products are formed of halves to the base 10^7; no sum on the way
-- reaches 2^53, so nothing is ever rounded.
local BASE, HALF, TEN_YEARS = 100000000000000, 10000000, 315360000000
local STATE = '>BI6I6I6I7I6'
local TAKE, GIVE_BACK, OVERDRAW = 0, 1, 2
local call, pack, unpack = redis.call, struct.pack, struct.unpack

-- a - b, and zero where that is less.
local function less(a2, a1, a0, b2, b1, b0)
  local d2, d1, d0 = a2 - b2, a1 - b1, a0 - b0
  if d0 < 0 then d0 = d0 + BASE; d1 = d1 - 1 end
  if d1 < 0 then d1 = d1 + BASE; d2 = d2 - 1 end
  if d2 < 0 then return 0, 0, 0 end
  return d2, d1, d0
end

-- What has flown back in so many microseconds: nanoseconds times units per nanosecond.
local function flown(elapsed, r2, r1, r0)
  local e0 = elapsed % 10000
  local rest = (elapsed - e0) / 10000
  e0 = e0 * 1000
  local e1 = rest % HALF
  local e2 = (rest - e1) / HALF
  local p = e0 * r0
  local f0 = p % HALF
  p = e0 * r1 + e1 * r0 + (p - f0) / HALF
  local half = p % HALF
  f0 = f0 + half * HALF
  p = e0 * r2 + e1 * r1 + e2 * r0 + (p - half) / HALF
  local f1 = p % HALF
  p = e1 * r2 + e2 * r1 + (p - f1) / HALF
  half = p % HALF
  return e2 * r2 + (p - half) / HALF, f1 + half * HALF, f0
end

-- A bucket as the last edit of its rate found it, and where `ask` goes on.
local function settle(s2, s1, s0, updated, ask, at)
  local edits, ends, r0, r1, r2
  edits, at = unpack('>B', ask, at)
  for _ = 1, edits do
    ends, r0, r1, r2, at = unpack('>I7I3I3I2', ask, at)
    if updated < ends and (s2 > 0 or s1 > 0 or s0 > 0) then
      s2, s1, s0 = less(s2, s1, s0, flown(ends - updated, r2, r1, r0))
      updated = ends
    end
  end
  return s2, s1, s0, updated, at
end

-- Writes a bucket. It lives until it is full, when it need not be remembered, and a second or two: a full one's last
-- change counts if the clock is set back. The end is moved when less than a second is left of those two.
local function keep(key, field, rate, n2, n1, n0, at, till)
  local missing = (n2 * BASE + n1) * BASE + n0
  local life = missing / (rate * 1000000)
  if not (life < TEN_YEARS) then life = missing > 0 and TEN_YEARS or 0 end
  local ends = at / 1000 + life + 1000
  local is_due = is_virtual or till < ends
  if is_due then till = is_virtual and 0 or ends - ends % 1 + 1000 end
  local state = pack(STATE, 1, n2, n1, n0, at, till)
  call('HSET', key, field, state)
  if is_due then
    life = math.max(ends - now / 1000 + 1000, is_virtual and 600000 or 1000)
    life = life - life % 1
    -- Other fields of the key may live longer.
    if call('PTTL', key) < life then call('PEXPIRE', key, life) end
  end
  return state
end

-- The bucket of `KEYS[i]` and those after it, of which `ask` says at `at`: flags (1 shadow, 2 a field of its own, 4 its rate
-- was edited), rate, burst, field; of edits how many, and of each until when which rate was in force. What came back before
-- an edit did so at the rate of then. A bucket waits in here until the ones after it are known; so it needs no table.
--
-- Answers whether one refuses, and each one's level in the form of a state, with 0 in place of the version where it
-- lacks the tokens.
local function take(action, tokens, ask, at, i, refused)
  local key = KEYS[i]
  if not key then return refused, '' end
  local flags, r0, r1, r2, burst, field, after = unpack('>BI3I3I2I4c8', ask, at)
  if flags % 4 < 2 then field = 'b' end
  local rate = r0 + r1 * HALF + r2 * BASE
  local s2, s1, s0, updated, till = 0, 0, 0, 0, 0
  local f2, f1, f0, d2, d1, d0 = 0, 0, 0, 0, 0, 0
  local kept = call('HGET', key, field)
  if kept then
    local version
    version, s2, s1, s0, updated, till = unpack(STATE, kept)
    if version ~= 1 then error({ err = 'VERSION of a bucket is ' .. version }) end
  end
  if flags > 3 then s2, s1, s0, updated, after = settle(s2, s1, s0, updated, ask, after) end
  if kept then
    if updated >= now then
      d2, d1, d0 = s2, s1, s0
    elseif action == GIVE_BACK or (now - updated) * rate * 999.999 < (s2 * BASE + s1) * BASE + s0 then
      f2, f1, f0 = flown(now - updated, r2, r1, r0)
      d2, d1, d0 = less(s2, s1, s0, f2, f1, f0)
    end -- Or it is full, however an estimate may be rounded.
  end
  local n2, n1, lacks = d2, d1 + tokens * 10000, false
  if n1 >= BASE then n1 = n1 - BASE; n2 = n2 + 1 end
  if action == TAKE and tokens > 0 then
    local capacity = burst * 10000
    lacks = n2 > 0 or n1 > capacity or (n1 == capacity and d0 > 0)
  end
  local levels
  refused, levels = take(action, tokens, ask, after, i + 1, refused or lacks and flags % 2 == 0)
  if refused or lacks or tokens == 0 and action ~= OVERDRAW then
    return refused, pack(STATE, lacks and 0 or 1, d2, d1, d0, 0, 0) .. levels
  elseif action == GIVE_BACK then
    n2, n1, d0 = less(s2, s1, s0, 0, tokens * 10000, 0)
    keep(key, field, rate, n2, n1, d0, updated, till)
    n2, n1, d0 = less(n2, n1, d0, f2, f1, f0)
    return refused, pack(STATE, 1, n2, n1, d0, 0, 0) .. levels
  end
  return refused, keep(key, field, rate, n2, n1, d0, updated > now and updated or now, till) .. levels
end
