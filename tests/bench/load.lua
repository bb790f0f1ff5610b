-- Requests for wrk. REQUESTS is a file, a request a line: hexadecimal octets to POST, or a path to GET. With NONCE the last 16
-- octets are new each time. With RATE (a second, over all connections) requests are spaced instead of sent at once.
local hexadecimal = os.getenv("TYPE")
local nonce = os.getenv("NONCE") ~= nil
local bodies, ready = {}, {}

function init()
  for line in io.lines(os.getenv("REQUESTS")) do
    if hexadecimal then
      local body = line:gsub("%x%x", function(octet) return string.char(tonumber(octet, 16)) end)
      bodies[#bodies + 1] = body:sub(1, -17)
      ready[#ready + 1] = wrk.format("POST", "/", { ["Content-Type"] = hexadecimal }, body)
    else
      ready[#ready + 1] = wrk.format("GET", line)
    end
  end
  math.randomseed(os.time())
end

function request()
  local chosen = math.random(#ready)
  if not nonce then return ready[chosen] end
  local octets = {}
  for at = 1, 16 do octets[at] = string.char(math.random(0, 255)) end
  return wrk.format("POST", "/", { ["Content-Type"] = hexadecimal }, bodies[chosen] .. table.concat(octets))
end

local rate = tonumber(os.getenv("RATE"))
if rate then
  function delay() return math.random(0, 2000 * tonumber(os.getenv("CONNECTIONS")) / rate) end
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local rate = summary.requests / summary.duration * 1e6
  print(string.format("RESULT %f %d %d %f", rate, summary.requests, failed, latency:percentile(99) / 1000))
end
