-- CHECK_AND_INCR: reserves the incentives of one tenant, at most a hundred, for which the limits
-- have room, and returns the places of those for which they have none.
--
-- ARGV  11 the tenant's use of the day before the batch, 12 its cap, 13 the tenant's use over the
--       window of its total, 14 its cap, 15 a user's cap of the day, 16 a user's cap of the total
--       (-1 = no cap); then for each user of KEYS the use of the day and of the total before the
--       batch; then for each incentive its id and the place of its user, from 1
--
-- Uses are the committed one and what is pending on it. What is pending is a hash: by incentive
-- who reserved it (`partition:epoch:batch:key`), by key how many wait there.
if is_past then return {'PAST'} end
-- Its incentives are counted: they are committed.
if batch <= stored_batch then return {'SETTLED'} end

local HEAD, users = 16, #KEYS - 3
local first = HEAD + 2 * users + 1
local incentives = (#ARGV - first + 1) / 2

local asked = {}
for i = 1, incentives do asked[i] = ARGV[first + 2 * (i - 1)] end
for i = 3, #KEYS do asked[#asked + 1] = KEYS[i] end
local pending = call('HMGET', KEYS[2], unpack(asked))

-- How many may wait on a key, under both of its caps.
local function room(day_cap, day_use, total_cap, total_use)
  local room = day_cap < 0 and math.huge or day_cap - day_use
  if total_cap >= 0 and total_cap - total_use < room then room = total_cap - total_use end
  return room
end

-- By place in KEYS: the committed use, how many wait, and how many may.
local use, waiting, rooms = {}, {}, {}
local user_day_cap, user_total_cap = tonumber(ARGV[15]), tonumber(ARGV[16])
for i = 3, #KEYS do
  local at = i == 3 and 11 or HEAD + 2 * (i - 3) - 1
  local given, wait = tonumber(ARGV[at]), tonumber(pending[incentives + i - 2]) or 0
  if not is_latest then given = committed(KEYS[i], given, tonumber(call('GET', KEYS[i])), wait) end
  use[i], waiting[i] = given, wait
  if i > 3 then rooms[i] = room(user_day_cap, given, user_total_cap, tonumber(ARGV[at + 1])) end
end
rooms[3] = room(tonumber(ARGV[12]), use[3], tonumber(ARGV[14]), tonumber(ARGV[13]))

local mine = partition .. ':' .. ARGV[2] .. ':' .. ARGV[10] .. ':'
local writes, refused, touched = {}, {'DONE'}, {}
local tenant_wait, tenant_room, n = waiting[3], rooms[3], 0
for i = 1, incentives do
  local at = 3 + ARGV[first + 2 * i - 1]
  local entry = mine .. KEYS[at]
  local is_counted = pending[i]
  if is_counted then
    -- By another batch or owner: now by this one.
    if is_counted ~= entry then writes[n + 1], writes[n + 2], n = asked[i], entry, n + 2 end
  elseif tenant_wait < tenant_room and waiting[at] < rooms[at] then
    writes[n + 1], writes[n + 2], n = asked[i], entry, n + 2
    tenant_wait, waiting[at], touched[at] = tenant_wait + 1, waiting[at] + 1, true
  else
    refused[#refused + 1] = i
  end
end
if tenant_wait ~= waiting[3] then waiting[3], touched[3] = tenant_wait, true end
for i in pairs(touched) do
  writes[n + 1], writes[n + 2], n = KEYS[i], waiting[i], n + 2
end

-- First what Redis refuses when it is full: then nothing at all is written.
if n > 0 then
  call('HSET', KEYS[2], unpack(writes))
  call('PEXPIREAT', KEYS[2], expires_at)
end
for i = 3, #KEYS do call('SET', KEYS[i], use[i] + waiting[i], 'PXAT', expires_at) end
note(stored_batch)
return refused
