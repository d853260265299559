-- The policy of the second table for nginx: hash the header field x-user over the members if it is there, else take the
-- least busy member.
--
-- A script that chooses the peer takes the place of `least_conn` and cannot ask nginx how busy a peer is. So it counts the
-- requests in flight itself, which is right for one worker; for more of them the counters would have to be in an
-- `ngx.shared` dictionary, at the cost of a lock.

local balancer = require "ngx.balancer"

local policy = {}

-- A list of { host, port, busy }.
local members = {}

-- Called once, with the host and port of each member.
function policy.start(peers)
    for position, peer in ipairs(peers) do
        members[position] = { host = peer[1], port = peer[2], busy = 0 }
    end
end

local function least_busy()
    local least = members[1]
    for position = 2, #members do
        if members[position].busy < least.busy then
            least = members[position]
        end
    end
    return least
end

-- In `balancer_by_lua`.
function policy.choose()
    local user = ngx.var.http_x_user
    local member = user and members[ngx.crc32_short(user) % #members + 1] or least_busy()
    member.busy = member.busy + 1
    ngx.ctx.member = member
    balancer.set_current_peer(member.host, member.port)
end

-- In `log_by_lua`: the request has ended.
function policy.finish()
    local member = ngx.ctx.member
    if member then
        member.busy = member.busy - 1
    end
end

return policy
