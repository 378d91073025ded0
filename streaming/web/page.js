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

function edge(market) {
  const [oracle, bid, ask] = [market.oracle_px, market.bid_px, market.ask_px].map((px) => (px === null ? NaN : Number(px)));
  const shown = (value) => (Number.isFinite(value) ? value.toFixed(1) : "–");
  const buy = ((oracle - ask) / oracle) * BPS;
  const sell = ((bid - oracle) / oracle) * BPS;
  return [`${shown(buy)} / ${shown(sell)}`, Math.max(buy, sell) > 0 ? "n good" : "n"];
}

function row(market) {
  const made = element("tr");
  const state = market.state === "ready" ? "good" : market.state === "excluded" ? "bad" : "warn";
  const cells = [
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
  ];
  for (const [text, className] of cells) made.append(element("td", text === null ? "–" : text, className));
  return made;
}

function show(status) {
  byId("venue").textContent = status.venue;
  byId("ready").textContent = `${status.ready_count} of ${status.market_count} ready`;
  byId("facts").replaceChildren(
    ...facts(status).map(([name, value, className]) => {
      const made = element("div");
      made.append(element("dt", name), element("dd", value, className));
      return made;
    }),
  );
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

const HIDDEN = new Set(["type", "ts_ns", "mono_ns", "book", "results", "trades", "markets"]);

function add(kind, output) {
  const item = element("li");
  item.append(element("time", new Date(output.ts_ns / 1e6).toISOString().slice(11, 23)), element("b", kind));
  const known = Object.entries(output).filter(([name, value]) => !HIDDEN.has(name) && value !== null && value !== "");
  item.append(known.map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`).join("  "));
  const list = byId("events");
  list.prepend(item);
  while (list.childElementCount > EVENTS_MAX) list.lastElementChild.remove();
}

const KINDS = [
  "ConnectionChanged", "MarketReadyChanged", "EpisodeBegan", "EpisodeEnded", "SignalRaised", "EntryRefused",
  "GateChanged", "OrderChanged", "FillApplied", "PositionChanged", "ParamChanged", "LatchChanged", "ArmChanged",
  "PhaseChanged", "RotationJudged", "RotationExpired", "EntriesChanged", "LimitsChanged",
];
const stream = new EventSource("v1/events");
for (const kind of KINDS) stream.addEventListener(kind, (event) => add(kind, JSON.parse(event.data)));
poll();
