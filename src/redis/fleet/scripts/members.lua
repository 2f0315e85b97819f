-- Who has applied a number. KEYS: members. ARGV: 2 the number. The answer: how many have, which live ones have not, and
-- which of those that were cut off have not.
local have, silent, cut_off, members = 0, {}, {}, redis.call('HGETALL', KEYS[1])
for i = 1, #members, 2 do
  local known, till = string.match(members[i + 1], '^(%-?%d+) (%d+)$')
  if tonumber(known) >= tonumber(ARGV[2]) then
    have = have + 1
  elseif tonumber(till) >= now then
    silent[#silent + 1] = members[i]
  else
    cut_off[#cut_off + 1] = members[i]
  end
end
return { have, silent, cut_off }
