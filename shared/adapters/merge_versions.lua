-- KEYS[1]: the entity; ARGV: keep in ms, most versions, most bytes, then lines, newest first, no two of equal time.
-- Gives a letter a line: n (of the newest time so far), o (older, or beyond what is kept), d (stored already).
-- Both lists are walked newest first until the new lines are used up; what is left of the old one is copied in one
-- piece, since a script blocks the server for all. The version in force at the far end of `keep` stays, or records just
-- above that end would find none. Lines are copied as they are; one without a time, or out of order, is passed over.
local keep, most, room = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local old, pos, bound, from = redis.pcall('GET', KEYS[1]), 1, math.huge, 4
if type(old) ~= 'string' then old = '' end

local function time_at(text, start)
  return tonumber(string.match(text, '^(%d%d%d%d%d%d%d%d%d%d%d%d%d) ', start) or nil)
end

local function stored()
  while true do
    local stop = string.find(old, '\n', pos, true)
    if not stop then return nil end
    local start, time = pos, time_at(old, pos)
    pos = stop + 1
    if time and time < bound then
      bound = time
      return string.sub(old, start, stop), time
    end
  end
end

local line, at = stored()
local newest = at or -1
local floor = math.max(newest, time_at(ARGV[from], 1)) - keep
local out, count, bytes, changed, full, codes = {}, 0, 0, false, false, {}

local function emit(text, time)
  full = full or count >= most or (count > 0 and bytes + #text > room)
  if full then return false end
  count, bytes, full = count + 1, bytes + #text, time <= floor
  out[count] = text
  return true
end

while ARGV[from] and not full do
  local new = ARGV[from]
  local time = time_at(new, 1)
  if line and at > time then
    emit(line, at)
    line, at = stored()
  else
    local same = line and at == time
    local code = (same and line == new) and 'd' or (time >= newest and 'n' or 'o')
    if emit(new, time) and code ~= 'd' then changed = true end
    if same then line, at = stored() end
    codes[#codes + 1], from = code, from + 1
  end
end
codes = table.concat(codes) .. string.rep('o', #ARGV - from + 1)
if not changed then return codes end

if line then emit(line, at) end
if line and not full then
  -- The first byte after which a line begins that is not newer than the floor: that line is the last to stay.
  local low, high = pos - 1, #old
  while low < high do
    local middle = math.floor((low + high) / 2)
    local stop = string.find(old, '\n', middle, true)
    local time = stop and stop < #old and time_at(old, stop + 1)
    if time and time > floor then low = stop + 1 else high = middle end
  end
  local last = string.find(old, '\n', low, true)
  last = last and string.find(old, '\n', last + 1, true) or #old
  local stop = pos - 1
  while count < most do
    local next = string.find(old, '\n', stop + 1, true)
    if not next or next > last or bytes + next - pos + 1 > room then break end
    stop, count = next, count + 1
  end
  out[#out + 1] = string.sub(old, pos, stop)
end
redis.call('SET', KEYS[1], table.concat(out))
return codes
