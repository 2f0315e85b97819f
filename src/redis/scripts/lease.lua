-- What a holder states and asks. ARGV: 3 first second of the period, 4 its end in microseconds, 5 its first day, 6 the
-- day after its last, 7 the limit or empty, 8 the holder, 9 sequence, 10 whether the holder is fresh, 11 hold, 12 need,
-- 13 least, 14 want, 15 epoch in microseconds, 16 channel and 17 message for a recall, 18 what to do to the buckets of the
-- keys from the third on (see `buckets.lua`) if what is needed least is there, then day and units of each listed day. The
-- answer: server's time, standing (0 current, 1 stale, 2 settled, 3 lost), granted, pool, out, holders, and the levels of
-- buckets if they were looked at. Where one refuses nothing is granted.
local start, fresh, seq = ARGV[3], ARGV[10] == '1', tonumber(ARGV[9])
local field = 'h' .. start .. ':' .. ARGV[8]
local record = holders[field]
if not periods[start] and not fresh then return { server, 3, 0, 0, 0, 0 } end
if record and record.seq >= seq then return { server, 1, 0, 0, 0, 0 } end
if periods[start] and not record and not fresh then
  -- Records are remembered for longer than this period is known: it was lost with them, and made again by another
  -- holder. This one too has to say all that it used.
  local is_lost = now - periods[start].born < KEEP
  return { server, is_lost and 3 or 2, 0, 0, 0, 0 }
end

local period = find_or_make(start, tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
record = record or { held = 0, used = {} }
local said, changes = {}, {}
for _, used in ipairs(record.used) do said[used[1]] = used[2] end
record.used = {}
for i = 19, #ARGV, 2 do
  local day, units = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  local difference = units - (said[day] or 0)
  changes[day] = difference
  period.charged = period.charged + difference
  record.used[#record.used + 1] = { day, units }
end
local hold = tonumber(ARGV[11])
period.charged = period.charged + hold - record.held
record.seq, record.held, record.period = seq, hold, start
record.till = now + tonumber(ARGV[15])
holders[field] = record

local held, count = live(start)
local need, least, want = tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local pool = ARGV[7] == '' and 0 or math.max(0, tonumber(ARGV[7]) - period.charged)
local ahead = math.min(want, math.floor(pool / (math.max(count, 1) * 2)))
local granted = math.min(math.max(need, ahead), pool)
local refused, levels = false, nil
if granted < least then
  granted = 0
elseif KEYS[3] then
  local action, tokens, first = unpack('>BI4', ARGV[18])
  refused, levels = take(action, tokens, ARGV[18], first, 3, false)
  if refused then granted = 0 end
end
record.held = hold + granted
period.charged = period.charged + granted

-- Nothing of the statement was written before all of it could be: a bucket may be another version's.
for day, units in pairs(changes) do add_to_day(day, units) end
keep_holder(field, record)
keep_period(start, period)
expire()
local out = held - hold
if not refused and granted < need and out > 0 then redis.call('PUBLISH', ARGV[16], ARGV[17]) end
return { server, 0, granted, pool - granted, out, count, levels }
