-- What is known of a counter. ARGV: 3 first second of the period, 4 the limit or empty, 5 first day, 6 last day. The
-- answer: server's time, unknown, remaining (-1: none), then day and units of each day.
local unknown = 0
for start in pairs(periods) do unknown = unknown + live(start) end
local remaining, period = -1, periods[ARGV[3]]
if period and ARGV[4] ~= '' then
  remaining = math.max(0, tonumber(ARGV[4]) - period.charged + live(ARGV[3]))
end
local answer = { server, unknown, remaining }
local days = redis.call('HGETALL', KEYS[2])
for i = 1, #days, 2 do
  local day, units = tonumber(days[i]), tonumber(days[i + 1])
  if day >= math.max(first_kept, tonumber(ARGV[5])) and day <= tonumber(ARGV[6]) and units ~= 0 then
    answer[#answer + 1] = day
    answer[#answer + 1] = units
  end
end
return answer
