// The live page: polls /v1/status once a second and lists decisions from /v1/events. Texts go in as text, never as HTML.
"use strict";

const STATUS_MS = 1000;
const EVENTS_MAX = 200;
const BPS = 10000;
const byId = (id) => document.getElementById(id);

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function duration(seconds) {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

function facts(status) {
  const stop = status.stop_reason;
  const closed = status.entries_closed_by;
  const gates = Object.entries(status.disabled_gates).map(([gate, reason]) => `${gate} (${reason})`);
  const expires = status.rotation_expires_ts_ns ? new Date(status.rotation_expires_ts_ns / 1e6).toISOString() : "";
  return [
    ["Connection", status.is_connected ? `open, generation ${status.generation}` : "lost", status.is_connected ? "good" : "bad"],
    ["Reconnects", status.reconnect_count],
    ["Phase", status.phase],
    ["Entries armed", status.is_armed ? "yes" : "no", status.is_armed ? "good" : "warn"],
    ["Stop latch", stop === null ? "not set" : stop, stop === null ? "good" : "bad"],
    ["Entries closed by", closed.length ? closed.join(", ") : "nothing", closed.length ? "warn" : "good"],
    ["Rotation", status.rotation_version ? `version ${status.rotation_version}, until ${expires}` : "none yet"],
    ["Rate use", `${(100 * status.rate_use_ratio).toFixed(1)} %`],
    ["Signals / episodes", `${status.signal_count} / ${status.episode_count}`],
    ["Inputs", status.seq],
    ["Uptime", duration(status.uptime_s)],
    ["Account", status.account || "none: observing"],
    ["Disabled gates", gates.length ? gates.join(", ") : "none", gates.length ? "warn" : "good"],
    ["Session", status.session_id],
    ["Version", status.version],
    ["Configuration", status.config_hash.slice(0, 16)],
  ];
}

const sign = (value) => (Number(value) < 0 ? "n bad" : "n good");

function account(trading) {
  const doubt = trading.in_doubt_count;
  const step = trading.ladder_step;
  return [
    ["Open positions", trading.positions.length],
    ["Open orders", trading.orders.length],
    ["Orders in doubt", doubt, doubt ? "bad" : "good"],
    ["Actions in flight", trading.action_in_flight_count],
    ["Result of the day", trading.day_pnl_usd, Number(trading.day_pnl_usd) < 0 ? "bad" : "good"],
    ["Drawdown", trading.drawdown_usd],
    ["Losses in a row", trading.loss_streak_count],
    ["Degradation", `step ${step}: ${trading.ladder_name || "normal"}`, step ? (step > 2 ? "bad" : "warn") : "good"],
  ];
}

function positionRow(position) {
  return rowOf([
    [position.coin],
    [position.sz, "n"], [position.entry_px, "n"], [position.cost_ntl, "n"],
    [position.unrealised_pnl, position.unrealised_pnl === null ? "n" : sign(position.unrealised_pnl)],
    [position.net_pnl, sign(position.net_pnl)],
    [position.held_ms, "n"],
    [position.exit_reason || "held", position.exit_reason ? "warn" : undefined],
  ]);
}

function orderRow(order) {
  return rowOf([
    [order.coin], [order.side], [order.is_reduce_only ? "exit" : "entry"],
    [order.limit_px, "n"], [order.sz, "n"], [order.applied_sz, "n"],
    [order.status, order.status === "in_doubt" ? "bad" : undefined],
    [order.reason],
    [order.age_ms, "n"],
  ]);
}

function showTrading(trading) {
  const closing = trading.is_flattening ? ", closing everything" : "";
  byId("trading").textContent = trading.is_ready ? `ready${closing}` : `not ready: ${trading.unready_reason || "no account"}${closing}`;
  byId("trading").className = trading.is_ready && !closing ? "good" : "warn";
  byId("account").replaceChildren(...boxes(account(trading)));
  for (const [name, items, make] of [["positions", trading.positions, positionRow], ["orders", trading.orders, orderRow]]) {
    byId(`${name}-block`).hidden = items.length === 0;
    byId(name).replaceChildren(...items.map(make));
  }
}

function edge(market) {
  const [oracle, bid, ask] = [market.oracle_px, market.bid_px, market.ask_px].map((px) => (px === null ? NaN : Number(px)));
  const shown = (value) => (Number.isFinite(value) ? value.toFixed(1) : "–");
  const buy = ((oracle - ask) / oracle) * BPS;
  const sell = ((bid - oracle) / oracle) * BPS;
  return [`${shown(buy)} / ${shown(sell)}`, Math.max(buy, sell) > 0 ? "n good" : "n"];
}

function rowOf(cells) {
  const made = element("tr");
  for (const [text, className] of cells) made.append(element("td", text === null ? "–" : text, className));
  return made;
}

function boxes(facts) {
  return facts.map(([name, value, className]) => {
    const made = element("div");
    made.append(element("dt", name), element("dd", value, className));
    return made;
  });
}

function row(market) {
  const state = market.state === "ready" ? "good" : market.state === "excluded" ? "bad" : "warn";
  return rowOf([
    [market.coin],
    [market.reason ? `${market.state}: ${market.reason}` : market.state, state],
    [market.book_class],
    [market.bid_px, "n"], [market.ask_px, "n"], [market.oracle_px, "n"], [market.mark_px, "n"],
    edge(market),
    [market.spread_bps === null ? null : Number(market.spread_bps).toFixed(2), "n"],
    [market.bbo_age_ms, "n"], [market.ctx_age_ms, "n"],
    [market.blocking_gates.join(", ") || "none", market.blocking_gates.length ? "warn" : "good"],
    [market.episode_count, "n"], [market.signal_count, "n"],
    [market.position_sz, "n"],
    [market.is_allowed ? "allowed" : "paper only"],
    [market.stopped_by || "–", market.stopped_by ? "warn" : undefined],
  ]);
}

function show(status) {
  byId("venue").textContent = status.venue;
  byId("ready").textContent = `${status.ready_count} of ${status.market_count} ready`;
  byId("facts").replaceChildren(...boxes(facts(status)));
  showTrading(status.trading);
  byId("markets").replaceChildren(...status.markets.map(row));
}

async function poll() {
  try {
    const response = await fetch("v1/status", { cache: "no-store" });
    if (!response.ok) throw new Error(String(response.status));
    show(await response.json());
    byId("lost").hidden = true;
  } catch {
    byId("lost").hidden = false;
  }
  setTimeout(poll, STATUS_MS);
}

const HIDDEN = new Set([
  "type", "ts_ns", "mono_ns", "book", "results", "trades", "markets", "baseline", "decided_ts_ns", "decided_mono_ns",
  "received_mono_ns", "sent_mono_ns", "answered_mono_ns", "doubt_mono_ns", "ended_mono_ns", "entry_ts_ns",
]);
const INLINED = new Set(["order", "fill", "position"]);

// An order, a fill or a position stands whole inside its output: its own fields are what one wants to read.
function* fields(output) {
  for (const [name, value] of Object.entries(output)) {
    if (HIDDEN.has(name) || value === null || value === "") continue;
    if (INLINED.has(name)) yield* fields(value);
    else yield `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`;
  }
}

function add(kind, output) {
  const item = element("li");
  item.append(element("time", new Date(output.ts_ns / 1e6).toISOString().slice(11, 23)), element("b", kind));
  item.append([...fields(output)].join("  "));
  const list = byId("events");
  list.prepend(item);
  while (list.childElementCount > EVENTS_MAX) list.lastElementChild.remove();
}

const KINDS = [
  "ConnectionChanged", "MarketReadyChanged", "EpisodeBegan", "EpisodeEnded", "SignalRaised", "EntryRefused",
  "GateChanged", "OrderChanged", "FillApplied", "PositionChanged", "ParamChanged", "LatchChanged", "ArmChanged",
  "PhaseChanged", "RotationJudged", "RotationExpired", "EntriesChanged", "LimitsChanged",
  "LiveOrderChanged", "LiveFillApplied", "LivePositionChanged", "TradeClosed", "ActionEnded", "FillGapChecked",
  "AccountChecked", "TradingReadyChanged", "MarketStopChanged", "LadderChanged",
];
const stream = new EventSource("v1/events");
for (const kind of KINDS) stream.addEventListener(kind, (event) => add(kind, JSON.parse(event.data)));
poll();
