-- Lets a claim last longer, or, with no time, ends it. KEYS: claim. ARGV: 2 token, 3 for how long (milliseconds).
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
