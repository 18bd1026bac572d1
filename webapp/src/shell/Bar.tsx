import { useState } from "preact/hooks";
import { keyOf } from "../api/device";
import { isNarrow } from "../parts/window";
import { asLeft, linkTo, type Route, route } from "../route";
import { force, names, simulated } from "../state";
import { words } from "../words";
import { Tools } from "./Tools";

const PAGES = [
  ["#/", words.app.connect, ["connect", "resolve", "unit", "events", "commands", "waveform"]],
  ["#/archive", words.app.archive, ["archive", "recording"]],
  ["#/settings", words.app.settings, ["settings", "cache", "tokens", "audit"]],
] as const;

/** The bar on every page: where one is, and where one can go. On a phone the rest of it is behind a button. */
export function Bar() {
  const [isOpen, setOpen] = useState(false);
  const at = route.value;
  const narrow = isNarrow.value;
  const links = PAGES.map(([href, text, pages]) => (
    <a
      key={href}
      href={asLeft(href)}
      aria-current={(pages as readonly string[]).includes(at.page) ? "page" : undefined}
      onClick={() => setOpen(false)}
    >
      {text}
    </a>
  ));
  return (
    <>
      <header class="bar">
        {narrow ? (
          <>
            <Up at={at} />
            <Where at={at} />
            <span class="spring" />
            <button
              type="button"
              class="quiet menu-button"
              aria-expanded={isOpen}
              aria-controls="menu"
              aria-label={words.app.menu}
              onClick={() => setOpen(!isOpen)}
            >
              ⋮
            </button>
          </>
        ) : (
          <>
            <span class="brand">{words.app.name}</span>
            <nav aria-label={words.app.pages}>{links}</nav>
          </>
        )}
      </header>
      {narrow && (
        <div id="menu" hidden={!isOpen}>
          <nav aria-label={words.app.pages}>{links}</nav>
          <Tools />
        </div>
      )}
      <div role="status" class="live">
        {force.value && (
          <p class="forced">
            <span>
              <strong>{words.force.on}</strong> {words.force.does}
            </span>
            <button type="button" onClick={() => (force.value = false)}>
              {words.force.stop}
            </button>
          </p>
        )}
      </div>
    </>
  );
}

/** The page above this one. */
function Up({ at }: { at: Route }) {
  const up = upOf(at);
  return up ? (
    <a class="up" href={asLeft(up)} aria-label={words.app.up}>
      ‹
    </a>
  ) : null;
}

function upOf(at: Route): string | null {
  switch (at.page) {
    case "connect":
      return null;
    case "waveform":
      return linkTo(at.unit, "events");
    case "recording":
      return "#/archive";
    case "cache":
    case "tokens":
    case "audit":
      return "#/settings";
    default:
      return "#/";
  }
}

function Where({ at }: { at: Route }) {
  if (!("unit" in at)) return <span class="brand">{words.app.name}</span>;
  const key = keyOf(at.unit);
  const name = names.value.get(at.unit.unit ?? "");
  return (
    <span class="where">
      <a href={asLeft(linkTo(at.unit))}>
        {name ?? at.unit.unit ?? key}
        {name && <small>{at.unit.unit}</small>}
      </a>
      {simulated.value.has(key) && (
        <strong class="badge" title={words.app.simulatedWhy}>
          {words.app.simulated}
        </strong>
      )}
    </span>
  );
}
