-- Keeps a value. KEYS: value, claim. ARGV: 2 the value, 3 for how long (milliseconds), 4 the claim's token or empty. A
-- claim ends with it. A call whose claim has passed to another one comes too late: what that one brings is newer.
if ARGV[4] ~= '' then
  local token = redis.call('GET', KEYS[2])
  if token == ARGV[4] then
    redis.call('DEL', KEYS[2])
  elseif token or redis.call('EXISTS', KEYS[1]) == 1 then
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
