// The price ticker: one stream from catalog, fanned out to every browser. When a copy of catalog
// goes, the next one is asked for what follows the last tick, so that browsers miss none.
'use strict';
const {call} = require('./calls');

const kept = []; // The last minute: [{tick, text}], for browsers that come back.
const browsers = new Set();
let stopped = false;

function publish(text) {
  const id = /^id: (\d+)$/m.exec(text);
  if (!id) return;
  const tick = Number(id[1]);
  if (kept.length && tick <= kept[kept.length - 1].tick) return;
  kept.push({tick, text: text + '\n\n'});
  if (kept.length > 60) kept.shift();
  for (const browser of browsers) send(browser);
}

// A browser that does not read is not written to; it catches up later, from what is kept then.
function send(browser) {
  if (browser.res.writableNeedDrain) return;
  const open = kept.filter(({tick}) => tick > browser.last);
  for (const {tick, text} of open) {
    browser.last = tick;
    browser.res.write(text);
  }
}

async function follow() {
  while (!stopped) {
    try {
      // Begins a minute ago, so that a new copy of web knows what browsers of another may have missed.
      const last = kept.length ? kept[kept.length - 1].tick : Math.floor(Date.now() / 1000) - 60;
      const answer = await call('catalog', {headers: {'last-event-id': String(last)}}, '/prices');
      let rest = '';
      const decoder = new TextDecoder();
      for await (const bytes of answer.body) {
        const parts = (rest + decoder.decode(bytes, {stream: true})).split('\n\n');
        rest = parts.pop();
        parts.forEach(publish);
      }
    } catch (error) {
      if (!stopped) console.log(JSON.stringify({level: 'warn', message: `prices: ${error.message}`}));
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function stream(req, res) {
  res.set({'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store'});
  res.write('retry: 300\n\n');
  // Whoever comes back goes on where it was; whoever is new begins with the latest tick.
  const newest = kept.length ? kept[kept.length - 1].tick - 1 : 0;
  const browser = {res, last: Number(req.headers['last-event-id']) || newest};
  browsers.add(browser);
  res.on('close', () => browsers.delete(browser));
  res.on('drain', () => send(browser));
  send(browser);
}

function stop() {
  stopped = true;
  for (const {res} of browsers) res.end();
}

module.exports = {follow, stream, stop};
