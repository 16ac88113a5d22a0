-- What the seed's module needs of `resty.http`, which Debian does not package: one GET by `request_uri`.
-- The real library is taken instead where the system has it, see `lua.rs`.

local _M = {}
_M.__index = _M

function _M.new()
    return setmetatable({ timeout_ms = 5000 }, _M)
end

function _M:set_timeout(timeout_ms)
    self.timeout_ms = timeout_ms
end

local function dechunk(body)
    local parts, at = {}, 1
    while true do
        local first, last, size = body:find("^(%x+)[^\r\n]*\r\n", at)
        if not first then
            return nil, "malformed chunk"
        end
        size = tonumber(size, 16)
        if size == 0 then
            return table.concat(parts)
        end
        parts[#parts + 1] = body:sub(last + 1, last + size)
        at = last + size + 3
    end
end

function _M:request_uri(uri, params)
    local host, port, path = uri:match("^http://([^:/]+):?(%d*)(/.*)$")
    if not host then
        return nil, "bad uri"
    end
    port = tonumber(port) or 80
    local socket = ngx.socket.tcp()
    socket:settimeout(self.timeout_ms)
    local ok, err = socket:connect(host, port)
    if not ok then
        return nil, err
    end
    local lines = {
        (params.method or "GET") .. " " .. path .. " HTTP/1.1",
        "Host: " .. host .. ":" .. port,
        "Connection: close",
    }
    for name, value in pairs(params.headers or {}) do
        lines[#lines + 1] = name .. ": " .. value
    end
    ok, err = socket:send(table.concat(lines, "\r\n") .. "\r\n\r\n")
    if not ok then
        return nil, err
    end
    local answer
    answer, err = socket:receive("*a")
    socket:close()
    if not answer then
        return nil, err
    end
    local head, body = answer:match("^(.-\r\n)\r\n(.*)$")
    local status = head and tonumber(head:match("^HTTP/1%.1 (%d%d%d) "))
    if not status then
        return nil, "malformed answer"
    end
    if head:lower():find("\r\ntransfer%-encoding: chunked\r\n") then
        body, err = dechunk(body)
        if not body then
            return nil, err
        end
    end
    return { status = status, body = body }
end

return _M
