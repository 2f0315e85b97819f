-- Begins the scripts about counters. KEYS[1]: a hash with the counter's periods (field `p` and the period's first
-- second: its end in microseconds, what is charged, and when the field was made) and the records of holders (field `h`, the period's first second,
-- a colon and the holder's 16 bytes: sequence, until, held, and day and units of each listed day). KEYS[2]: a hash with
-- the units used on each day.
--
-- What is held beyond its time becomes use of the last day that its holder knew; what is long over is forgotten.
local KEEP, KEPT_DAYS, DAY = 600000000, 91, 86400000000
local periods, holders = {}, {}

local function add_to_day(day, units)
  if units == 0 then return end
  redis.call('HINCRBY', KEYS[2], day, units)
  redis.call('PEXPIRE', KEYS[2], (KEPT_DAYS + 1) * DAY / 1000)
end

local function keep_holder(field, record)
  local parts = { struct.pack('>I7I7I7', record.seq, record.till, record.held) }
  for _, used in ipairs(record.used) do parts[#parts + 1] = struct.pack('>i4i7', used[1], used[2]) end
  redis.call('HSET', KEYS[1], field, table.concat(parts))
end

local function keep_period(start, period)
  redis.call('HSET', KEYS[1], 'p' .. start, struct.pack('>I7i7I7', period.ends, period.charged, period.born))
end

local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local field, value = fields[i], fields[i + 1]
  if field:sub(1, 1) == 'p' then
    local ends, charged, born = struct.unpack('>I7i7I7', value)
    periods[field:sub(2)] = { ends = ends, charged = charged, born = born }
  else
    local seq, till, held, at = struct.unpack('>I7I7I7', value)
    local record = { seq = seq, till = till, held = held, used = {}, period = field:match('^h(%-?%d+):') }
    while at <= #value do
      local day, units
      day, units, at = struct.unpack('>i4i7', value, at)
      record.used[#record.used + 1] = { day, units }
    end
    holders[field] = record
  end
end

for field, record in pairs(holders) do
  if record.till <= now and record.held > 0 then
    local last = record.used[#record.used]
    if last then
      last[2] = last[2] + record.held
      add_to_day(last[1], record.held)
    end
    record.held = 0
    keep_holder(field, record)
  end
end
for start, period in pairs(periods) do
  if period.ends + KEEP <= now then
    redis.call('HDEL', KEYS[1], 'p' .. start)
    periods[start] = nil
  end
end
for field, record in pairs(holders) do
  if record.till + KEEP <= now or not periods[record.period] then
    redis.call('HDEL', KEYS[1], field)
    holders[field] = nil
  end
end
local first_kept = math.floor(now / DAY) - KEPT_DAYS
if redis.call('HLEN', KEYS[2]) > KEPT_DAYS then
  for _, day in ipairs(redis.call('HKEYS', KEYS[2])) do
    if tonumber(day) < first_kept then redis.call('HDEL', KEYS[2], day) end
  end
end

-- A period that is not known yet starts with what its days have used.
local function find_or_make(start, ends, first_day, end_day)
  if not periods[start] then
    local charged = 0
    for day = math.max(first_day, first_kept), end_day - 1 do
      charged = charged + (redis.call('HGET', KEYS[2], day) or 0)
    end
    periods[start] = { ends = ends, charged = charged, born = now }
  end
  -- An edit of the plan may have made a period longer that has begun on the same day.
  periods[start].ends = math.max(periods[start].ends, ends)
  return periods[start]
end

-- Units that live records of a period hold, and how many records live.
local function live(start)
  local held, count = 0, 0
  for _, record in pairs(holders) do
    if record.period == start and record.till > now then
      held, count = held + record.held, count + 1
    end
  end
  return held, count
end

-- Lives until the last of its periods and leases is long over.
local function expire()
  local last = now
  for _, period in pairs(periods) do last = math.max(last, period.ends) end
  for _, record in pairs(holders) do last = math.max(last, record.till) end
  redis.call('PEXPIRE', KEYS[1], math.ceil((last + KEEP - now) / 1000))
end
