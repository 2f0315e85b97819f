-- Begins the scripts that compare this server's history with a process's. KEYS[2]: the log.

-- The random bytes in which records differ that say the same.
local function mark_of(record) return record and string.sub(record, 2, 9) or '' end

-- Whether a process knows records that this server does not: fewer were numbered here, or another one has that number.
local function knows_less(number, applied, mark)
  if applied > number then return true end
  if mark == '' then return false end
  local record = redis.call('LINDEX', KEYS[2], applied - number - 1)
  -- One that the log does not reach back to is another matter, but for the very last.
  return record and mark_of(record) ~= mark or not record and applied == number
end
