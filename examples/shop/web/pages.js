// The pages, as functions from data to HTML. What comes from outside is escaped by the tag `html`.
'use strict';

class Html {
  constructor(text) { this.text = text; }
  toString() { return this.text; }
}

function shown(value) {
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return value.map(shown).join('');
  return String(value ?? '').replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

const html = (parts, ...values) =>
  new Html(parts.reduce((all, part, i) => all + shown(values[i - 1]) + part));

const euros = (cents) => `€ ${(cents / 100).toFixed(2)}`;
const price = (product) =>
  html`<span class="price" data-price-of="${product.id}">${euros(product.price_cents)}</span>`;

function page({title, shop, inCart, by}, body) {
  return html`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>${title} · ${shop}</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="/style.css">
  <script src="/live.js" defer></script>
</head>
<body>
  <header>
    <a class="brand" href="/">${shop}</a>
    <span class="live" id="live" title="prices change every second">prices: waiting</span>
    <nav><a href="/report">Report</a><a class="cart" href="/cart">Cart <b>${inCart}</b></a></nav>
  </header>
  <main>${body}</main>
  <footer>This page came from ${by}. Kill it and reload.</footer>
</body>
</html>`.text;
}

const catalogue = (frame, products) => page({...frame, title: 'Everything for a small boat'}, html`
  <section class="hero"><h1>Everything for a small boat</h1>
    <p>Things that hold when it blows. Prices move every second, like the water.</p></section>
  <section class="grid">${products.map((p) => html`
    <article class="card">
      <a href="/products/${p.id}"><div class="icon">${p.icon}</div><h2>${p.name}</h2></a>
      <div class="row">${price(p)}${addButton(p)}</div>
    </article>`)}
  </section>`);

const addButton = (p) => html`
  <form method="post" action="/cart"><input type="hidden" name="product" value="${p.id}">
    <button>Add</button></form>`;

const product = (frame, p) => page({...frame, title: p.name}, html`
  <section class="product"><div class="icon large">${p.icon}</div>
    <div><h1>${p.name}</h1><p>${p.about}</p><p class="big">${price(p)}</p>${addButton(p)}
      <p><a href="/">All things</a></p></div></section>`);

const cart = (frame, lines, order) => page({...frame, title: 'Cart'}, lines.length === 0 ? html`
  <h1>Your cart is empty</h1><p><a href="/">Fill it</a></p>` : html`
  <h1>Your cart</h1>
  <table>${lines.map(({product: p, count}) => html`
    <tr><td>${p.icon} ${p.name}</td><td>${count} ×</td><td class="sum">${price(p)}</td></tr>`)}
  </table>
  <form method="post" action="/orders">
    <input type="hidden" name="id" value="${order}">
    <button class="main">Order and pay</button>
    <p class="hint">Order ${order}. Press as often as you like: money is taken once.</p>
  </form>
  <form method="post" action="/cart/empty"><button class="plain">Empty the cart</button></form>`);

const order = (frame, o) => page({...frame, title: `Order ${o.id}`}, html`
  <h1>${o.status === 'paid' ? 'Thank you!' : 'Not paid yet'}</h1>
  <p class="status ${o.status}">${o.status}</p>
  <table>${o.lines.map((line) => html`
    <tr><td>${line.name}</td><td>${line.count} ×</td><td class="sum">${euros(line.price_cents)}</td></tr>`)}
    <tr class="total"><td>Total</td><td></td><td class="sum">${euros(o.total_cents)}</td></tr>
  </table>
  <p class="hint">Order ${o.id}</p><p><a href="/">On to other things</a></p>`);

const failed = (frame, title, text, again) => page({...frame, title}, html`
  <h1>${title}</h1><p>${text}</p>${again ? html`
  <form method="post" action="/orders"><input type="hidden" name="id" value="${again}">
    <button class="main">Send the same order again</button></form>` : html`<p><a href="/">Back</a></p>`}`);

const report = (frame) => page({...frame, title: 'Report'}, html`
  <h1>Sales report</h1><p>It takes eight seconds, line by line. Restart something meanwhile.</p>
  <pre id="report"></pre>`);

module.exports = {catalogue, product, cart, order, failed, report};
