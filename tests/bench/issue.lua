-- Requests for wrk, each sent once and by one thread: a certificate is issued for a key once. REQUESTS is a file of bodies, a
-- line each, hexadecimal; TYPE their media type. When they run out, the run is void: the count of unsent ones is below zero.
local bodies, at = {}, 0

function init()
  for line in io.lines(os.getenv("REQUESTS")) do
    bodies[#bodies + 1] = line:gsub("%x%x", function(octet) return string.char(tonumber(octet, 16)) end)
  end
end

function request()
  at = at + 1
  local headers = { ["Content-Type"] = os.getenv("TYPE"), ["X-Client-Name"] = "ra01", ["Idempotency-Key"] = tostring(at) .. os.time() }
  return wrk.format("POST", nil, headers, bodies[at] or "")
end


function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format("RESULT %f %d %f", summary.requests / summary.duration * 1e6, failed, latency:percentile(99) / 1000))
end
