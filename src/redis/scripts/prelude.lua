-- Begins every script. ARGV[1]: from when on nothing is to happen any more, in microseconds of this server's clock, or
-- empty. ARGV[2]: the present instant where time is virtual, in microseconds since 1970, or empty.
local time = redis.call('TIME')
local server = time[1] * 1000000 + time[2]
if ARGV[1] ~= '' and server > tonumber(ARGV[1]) then
  return redis.error_reply('LATE ' .. time[1] .. ' ' .. time[2])
end
local is_virtual = ARGV[2] ~= ''
local now = is_virtual and tonumber(ARGV[2]) or server
