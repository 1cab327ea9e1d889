-- Visitors who come in turn, each with a cookie of their own: the lines of a file.
--
-- wrk … -s visitors.lua URL -- FILE [PAUSE]    each connection waits so many milliseconds on average between its requests

local requests = {}
local at = 0

function init(args)
   for cookie in io.lines(args[1]) do
      requests[#requests + 1] = wrk.format("GET", nil, { ["Cookie"] = cookie })
   end
   local pause = tonumber(args[2])
   -- wrk looks for the function before the first request.
   if pause then
      delay = function() return math.floor(2 * pause * math.random() + 0.5) end
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency)
   local errors = summary.errors
   local failed = string.format(
      '{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}',
      errors.connect, errors.read, errors.write, errors.status, errors.timeout
   )
   io.write(string.format(
      '{"requests":%d,"seconds":%f,"failed":%s,"p50":%d,"p99":%d}\n',
      summary.requests, summary.duration / 1e6, failed, latency:percentile(50), latency:percentile(99)
   ))
end
