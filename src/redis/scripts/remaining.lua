-- Sets what is left of a period. ARGV: 3 first second of the period, 4 its end in microseconds, 5 its first day, 6 the
-- day after its last, 7 the limit, 8 what is to be left, 9 channel and 10 message for those who want to know.
local period = find_or_make(ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
period.charged = tonumber(ARGV[7]) - tonumber(ARGV[8]) + live(ARGV[3])
keep_period(ARGV[3], period)
expire()
redis.call('PUBLISH', ARGV[9], ARGV[10])
return { server }
