-- Begins every script of the fleet. ARGV[1]: from when on nothing is to happen any more, in microseconds of this
-- server's clock, or empty.
local time = redis.call('TIME')
if ARGV[1] ~= '' and time[1] * 1000000 + time[2] > tonumber(ARGV[1]) then
  return redis.error_reply('LATE ' .. time[1] .. ' ' .. time[2])
end
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The number of the last record. Where there is none (yet, or any more), numbers begin with the time: so they are above
-- all that there were before the server lost its memory, and whoever knows one of those sees that it has missed something.
local function last_number(key)
  local number = redis.call('GET', key)
  if number then return tonumber(number) end
  redis.call('SET', key, string.format('%d', now), 'PX', 2592000000)
  return now
end
