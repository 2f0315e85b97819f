local _, levels = take(action, tokens, ARGV[1], first, 1, false)
return pack('>I7', server) .. levels
