-- A value, or a claim. KEYS: value, claim, number of the last record. ARGV: 2 the claim's token or empty, 3 how long the
-- claim lasts (milliseconds), 4 whether a value is of no use.
local number = last_number(KEYS[3])
if ARGV[4] ~= '1' then
  local value = redis.call('GET', KEYS[1])
  if value then return { number, 'value', value, redis.call('PTTL', KEYS[1]) } end
end
if ARGV[2] == '' or redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then return { number, 'nothing' } end
return { number, 'claimed' }
