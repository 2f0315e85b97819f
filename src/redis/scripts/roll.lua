-- Who shares the limits. KEYS[1]: a sorted set of processes, by the millisecond from when on each does not count any
-- more. ARGV: 3 the process, 4 how long it counts from now (milliseconds). The answer: server's time, how many there are.
-- Whoever would count for longer than that spoke before the server's clock was set back.
local instant = math.floor(now / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', instant))
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%d', instant + ARGV[4]), '+inf')
redis.call('ZADD', KEYS[1], string.format('%d', instant + ARGV[4]), ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return { server, redis.call('ZCARD', KEYS[1]) }
