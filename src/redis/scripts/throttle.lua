-- The throttles of a request. KEYS: one for each bucket. ARGV[1]: from when on nothing is to happen any more and the
-- present instant where time is virtual, in microseconds (0: neither; see `prelude.lua`, which is for what is asked less
-- often), what to do (0 take, 1 give back, 2 overdraw), how many tokens, and what `take` needs to know of each bucket.
local not_after, instant, action, tokens, first = struct.unpack('>I7I7BI4', ARGV[1])
local time = redis.call('TIME')
local server = time[1] * 1000000 + time[2]
if not_after > 0 and server > not_after then
  return redis.error_reply('LATE ' .. time[1] .. ' ' .. time[2])
end
local is_virtual = instant > 0
local now = is_virtual and instant or server
