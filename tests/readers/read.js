// What Node's http server reads in each line of standard input: base64 of all bytes of one connection. A line of JSON
// for each: the requests it holds, and why it is not a whole number of them.
const http = require('http');
const { Duplex } = require('stream');

function read(text) {
  return new Promise((done) => {
    const found = { requests: [], problem: '' };
    const server = http.createServer({ maxHeaderSize: 1 << 17, keepAliveTimeout: 0 }, (request, response) => {
      const pieces = [];
      request.on('data', (piece) => pieces.push(piece));
      request.on('error', (error) => { found.problem = found.problem || error.message; });
      request.on('end', () => {
        found.requests.push({ method: request.method, target: request.url, host: request.headers.host,
          body: Buffer.concat(pieces).toString('base64') });
        response.end();
      });
    });
    server.on('clientError', (error, socket) => {
      found.problem = found.problem || error.message;
      socket.destroy();
    });
    const socket = new Duplex({ allowHalfOpen: true, read() {}, write(piece, encoding, next) { next(); } });
    for (const name of ['setTimeout', 'setNoDelay', 'setKeepAlive', 'ref', 'unref']) socket[name] = () => socket;
    socket.on('close', () => done(found));
    server.httpAllowHalfOpen = false;
    server.emit('connection', socket);
    socket.push(text);
    socket.push(null);
  });
}

(async () => {
  const lines = require('fs').readFileSync(0, 'latin1').split('\n').filter(Boolean);
  for (const line of lines) console.log(JSON.stringify(await read(Buffer.from(line, 'base64'))));
})();
