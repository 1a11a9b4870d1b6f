// web: the shop's pages and, under /api, the same as JSON. It keeps nothing: the cart is a cookie,
// so that any copy can serve any click.
'use strict';
const crypto = require('node:crypto');
const path = require('node:path');
const {Readable} = require('node:stream');
const {pipeline} = require('node:stream/promises');
const express = require('express');
const {call, setting, CalleeFailed} = require('./calls');
const pages = require('./pages');
const prices = require('./prices');

const port = setting('PORT', 'PORT=3000 node server.js');
const shop = process.env.SHOP_NAME || 'Shop';
const me = {
  service: 'web', pid: process.pid,
  release: process.env.THOLE_RELEASE || '', instance: process.env.THOLE_INSTANCE || '',
};

const say = (level, message, fields) =>
  console.log(JSON.stringify({time: new Date().toISOString(), level, message, ...fields}));
const isId = (text) => typeof text === 'string' && /^[\w-]{1,64}$/.test(text);

const app = express();
app.disable('x-powered-by');
app.set('etag', false);

app.get(['/healthz', '/readyz'], (req, res) => res.json({ok: true}));
app.get('/whoami', (req, res) => res.json(me));

app.use((req, res, next) => {
  const began = Date.now();
  res.on('close', () => say(res.statusCode < 500 ? 'info' : 'error', `${req.method} ${req.path}`, {
    status: res.statusCode, took_ms: Date.now() - began, request_id: req.get('x-request-id'),
    traceparent: req.get('traceparent'),
  }));
  next();
});
app.use(express.static(path.join(__dirname, 'public'), {maxAge: '1m'}));
app.use(express.urlencoded({extended: false, limit: '32kb'}), express.json({limit: '32kb'}));

// The cart: a cookie like "oar:2.mug:1".
function cartOf(req) {
  const found = /(?:^|; )cart=([^;]*)/.exec(req.headers.cookie || '');
  const cart = {};
  for (const part of found ? found[1].split('.') : []) {
    const [product, count] = part.split(':');
    if (isId(product) && count > 0) cart[product] = Math.min(99, Math.floor(count));
  }
  return cart;
}

function keepCart(res, cart) {
  const text = Object.entries(cart).map(([product, count]) => `${product}:${count}`).join('.');
  res.set('Set-Cookie', `cart=${text}; Path=/; HttpOnly; SameSite=Lax`);
}

const frame = (req, inCart = Object.values(cartOf(req)).reduce((a, b) => a + b, 0)) =>
  ({shop, inCart, by: `web, process ${process.pid}${me.release ? `, ${me.release}` : ''}`});

const products = async (req) => (await (await call('catalog', req, '/products')).json()).products;

app.get('/', async (req, res) => res.send(pages.catalogue(frame(req), await products(req))));

app.get('/products/:id', async (req, res) => {
  const found = await call('catalog', req, `/products/${encodeURIComponent(req.params.id)}`);
  if (found.status !== 200) {
    return res.status(404).send(pages.failed(frame(req), 'Not here', 'There is no such product.'));
  }
  res.send(pages.product(frame(req), await found.json()));
});

app.get('/cart', async (req, res) => {
  const cart = cartOf(req);
  const lines = (await products(req)).filter(({id}) => cart[id])
    .map((product) => ({product, count: cart[product.id]}));
  res.send(pages.cart(frame(req), lines, crypto.randomUUID()));
});

app.post('/cart', (req, res) => {
  const cart = cartOf(req);
  const product = req.body.product;
  if (isId(product)) cart[product] = Math.min(99, (cart[product] || 0) + 1);
  keepCart(res, cart);
  res.redirect(303, '/cart');
});

app.post('/cart/empty', (req, res) => {
  keepCart(res, {});
  res.redirect(303, '/');
});

app.post('/orders', async (req, res) => {
  const {id} = req.body;
  const items = cartOf(req);
  // Pressed again after it went through.
  if (!Object.keys(items).length) return res.redirect(303, `/orders/${encodeURIComponent(id)}`);
  let answer;
  try {
    answer = await call('orders', req, '/orders', {method: 'POST', json: {id, items}});
  } catch (error) {
    if (!(error instanceof CalleeFailed)) throw error;
    say('error', error.message, {request_id: req.get('x-request-id')});
    return res.status(502).send(pages.failed(frame(req), 'That took too long',
      'We do not know whether your order went through. Sending the same one again is safe.', id));
  }
  if (answer.status >= 400) {
    const {error} = await answer.json();
    return res.status(answer.status).send(pages.failed(frame(req), 'That did not work', `${error}.`));
  }
  keepCart(res, {});
  res.redirect(303, `/orders/${encodeURIComponent(id)}`);
});

app.get('/orders/:id', async (req, res) => {
  const found = await call('orders', req, `/orders/${encodeURIComponent(req.params.id)}`);
  if (found.status !== 200) {
    return res.status(404).send(pages.failed(frame(req), 'Not here', 'There is no such order.'));
  }
  res.send(pages.order(frame(req), await found.json()));
});

app.get('/report', (req, res) => res.send(pages.report(frame(req))));
app.get('/prices', prices.stream);

// The same as JSON, passed on as orders and catalog say it.
const pass = (service, to, method = 'GET') => async (req, res) => {
  const stop = new AbortController();
  res.on('close', () => stop.abort());
  const answer = await call(service, req, to(req), {
    method, signal: stop.signal, json: method === 'POST' ? req.body : undefined,
  });
  res.status(answer.status).set('Content-Type', answer.headers.get('content-type'));
  await pipeline(Readable.fromWeb(answer.body), res);
};
const byId = (folder) => (req) => `/${folder}/${encodeURIComponent(req.params.id)}`;
app.get('/api/products', pass('catalog', () => '/products'));
app.get('/api/products/:id', pass('catalog', byId('products')));
app.post('/api/orders', pass('orders', () => '/orders', 'POST'));
app.get('/api/orders/:id', pass('orders', byId('orders')));
app.get('/api/report', pass('orders', () => '/report'));

app.use((req, res) => res.status(404).send(pages.failed(frame(req), 'Not here', 'Nothing here.')));
app.use((error, req, res, next) => { // Express knows it by its four parameters.
  const status = error instanceof CalleeFailed ? 502 : error.status || 500;
  if (status >= 500) say('error', error.message, {request_id: req.get('x-request-id')});
  if (res.headersSent) return res.destroy(); // Half an answer must not look like a whole one.
  if (req.path.startsWith('/api/')) return res.status(status).json({error: error.message});
  res.status(status).send(pages.failed(frame(req), 'Something is missing',
    'A part of the shop did not answer. Please try again.'));
});

const server = app.listen(Number(port), '127.0.0.1', (error) => {
  if (!error) return say('info', `listening on 127.0.0.1:${port}`);
  say('error', `cannot listen on 127.0.0.1:${port}: ${error.message}`);
  process.exit(1);
});
prices.follow();

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => {
    say('info', 'finishing what was begun');
    server.close(() => process.exit(0));
    server.closeIdleConnections();
    // A connection that finishes its request now is not kept for another.
    server.prependListener('request', (req, res) => { res.shouldKeepAlive = false; });
    setInterval(() => server.closeIdleConnections(), 100);
    prices.stop();
  });
}
