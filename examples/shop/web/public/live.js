// Prices as they change, and the report as it is written.
'use strict';

const live = document.getElementById('live');
const euros = (cents) => `€ ${(cents / 100).toFixed(2)}`;
let last = 0;

function show({tick, prices}) {
  const missed = last && tick > last + 1 ? ` (missed ${tick - last - 1})` : '';
  last = tick;
  live.textContent = `prices: live${missed}`;
  live.classList.add('on');
  for (const element of document.querySelectorAll('[data-price-of]')) {
    const text = euros(prices[element.dataset.priceOf]);
    if (text === element.textContent) continue;
    element.classList.remove('up', 'down');
    void element.offsetWidth; // Starts the animation anew.
    element.classList.add(Number(text.slice(2)) > Number(element.textContent.slice(2)) ? 'up' : 'down');
    element.textContent = text;
  }
}

const source = new EventSource('/prices'); // Comes back by itself, after the last tick it saw.
source.onmessage = (event) => show(JSON.parse(event.data));
source.onerror = () => { live.textContent = 'prices: reconnecting'; live.classList.remove('on'); };

async function fill(report) {
  const answer = await fetch('/api/report');
  const decoder = new TextDecoder();
  const reader = answer.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    report.textContent += decoder.decode(part.value, {stream: true});
  }
}
const report = document.getElementById('report');
if (report) fill(report).catch(() => { report.textContent += '\nThe report was cut off. Reload for another.'; });
