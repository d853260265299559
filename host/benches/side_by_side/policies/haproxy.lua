-- The policy of the second table for HAProxy: hash the header field x-user over the members if it is there.
--
-- Which of the members is the least busy this script leaves to `balance leastconn`: HAProxy 2.6 tells a script how busy a
-- server is only as one of the many figures of `Server.get_stats`, which makes a table of all of them in every call.

-- The names of the servers, sorted, so that a hash means the same one after every start.
local members = {}

core.register_init(function()
    for name in pairs(core.backends["members"].servers) do
        table.insert(members, name)
    end
    table.sort(members)
end)

-- The server for `use-server`; none where there is no x-user, and `balance` decides.
core.register_fetches("member", function(txn)
    local user = txn.f:req_fhdr("x-user")
    if user then
        return members[txn.c:crc32(user) % #members + 1]
    end
end)
