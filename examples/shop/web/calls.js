// How web calls the services it needs, and passes on the ids by which a request is followed.
// It never tries again: thole does where that is safe, and the buyer does where it is not.
'use strict';

function setting(name, remedy) {
  if (process.env[name]) return process.env[name];
  console.error(`web: ${name} is not set\n  try: ${remedy}`);
  process.exit(2);
}

const calls = 'calls: [orders, catalog] for web in thole.yaml';
const urls = {orders: setting('ORDERS_URL', calls), catalog: setting('CATALOG_URL', calls)};
const passedOn = ['traceparent', 'tracestate', 'x-request-id', 'last-event-id'];

class CalleeFailed extends Error {}

// call('orders', req, '/orders', {method, json}) -> Response; throws CalleeFailed unless it answered below 500.
async function call(service, req, path, {method = 'GET', json, signal} = {}) {
  const headers = {};
  for (const name of passedOn) if (req?.headers[name]) headers[name] = req.headers[name];
  if (json !== undefined) headers['content-type'] = 'application/json';
  let answer;
  try {
    answer = await fetch(urls[service] + path, {
      method, headers, signal, body: json === undefined ? undefined : JSON.stringify(json),
    });
  } catch (error) {
    throw new CalleeFailed(`${method} ${service}${path}: ${error.cause?.code ?? error.message}`);
  }
  if (answer.status >= 500) {
    await answer.arrayBuffer();
    throw new CalleeFailed(`${method} ${service}${path}: ${answer.status}`);
  }
  return answer;
}

module.exports = {call, setting, CalleeFailed};
