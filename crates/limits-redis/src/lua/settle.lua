-- SETTLE: sets committed uses, absolutely, and ends reservations that the partition made for this
-- batch, for earlier ones, or under an earlier epoch.
--
-- ARGV  11 '1' when the batch is committed; 12 the tenant's use of the day, then each user's of KEYS
--       ('' = not known); then the ids of incentives whose reservation ends
-- Returns how many uses were not what they had to be.
local users = #KEYS - 3
local first = 12 + users + 1
local incentives = #ARGV - first + 1

local asked = {}
for i = first, #ARGV do asked[#asked + 1] = ARGV[i] end
for i = 3, #KEYS do asked[#asked + 1] = KEYS[i] end
local pending = call('HMGET', KEYS[2], unpack(asked))

-- How many wait on a key, before and after.
local waited, waiting = {}, {}
for i = 3, #KEYS do
  local wait = tonumber(pending[incentives + i - 2]) or 0
  waited[KEYS[i]], waiting[KEYS[i]] = wait, wait
end

local find, sub = string.find, string.sub
local mine = partition .. ':' .. ARGV[2] .. ':' .. ARGV[10] .. ':'
-- The key on which an entry waits, if the entry is one to be ended.
local function ended(entry)
  if find(entry, mine, 1, true) == 1 then return sub(entry, #mine + 1) end
  local p, e, b, key = string.match(entry, '^(%d+):(%d+):(%d+):(.*)$')
  e, b = tonumber(e), tonumber(b)
  if p == partition and (e < epoch or e == epoch and b <= batch) then return key end
  return nil
end

local gone = {}
for i = 1, incentives do
  local key = pending[i] and ended(pending[i])
  local wait = key and waiting[key]
  -- One whose user is not among the keys stays: nobody else may touch that key.
  if wait then
    gone[#gone + 1] = asked[i]
    waiting[key] = wait > 0 and wait - 1 or 0
  end
end
waiting[KEYS[3]] = math.max(waiting[KEYS[3]] - #gone, 0)
if #gone > 0 then
  local counts = {}
  for key, wait in pairs(waiting) do
    if wait == 0 then
      gone[#gone + 1] = key
    elseif wait ~= waited[key] then
      counts[#counts + 1], counts[#counts + 2] = key, wait
    end
  end
  call('HDEL', KEYS[2], unpack(gone))
  if #counts > 0 then call('HSET', KEYS[2], unpack(counts)) end
end

local corrected = 0
if not is_past then
  local keys = {}
  for i = 3, #KEYS do keys[#keys + 1] = KEYS[i] end
  local found = call('MGET', unpack(keys))
  for i = 3, #KEYS do
    local key, now, use = KEYS[i], tonumber(found[i - 2]), tonumber(ARGV[9 + i])
    if not (is_latest and use) then use = committed(key, use, now, waited[key]) end
    -- As a rule the reservation has become the use, and the number stays.
    if use and use + waiting[key] ~= now then
      remember(key, use + waiting[key])
      corrected = corrected + 1
    end
  end
end
note(ARGV[11] == '1' and math.max(stored_batch, batch) or stored_batch)
return {'DONE', corrected}
