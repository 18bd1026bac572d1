import { signOut } from "../api/session";
import { keyOf } from "../api/device";
import { linkTo, route } from "../route";
import { airUnits, force, isMeKnown, mayForce, me, serials, simulated, unitsOf, wantsToken, type AirUnit, type GroundUnit } from "../state";
import { words } from "../words";

const GROUND: readonly GroundUnit[] = ["in/s", "mm/s"];
const AIR: readonly AirUnit[] = ["psi", "Pa", "dB(L)"];

/** The bar on every page: where, how reads are done, in which units of measure, and who asks. */
export function Bar() {
  return (
    <>
      <header class="bar">
        <a class="brand" href="#/">
          {words.app.name}
        </a>
        <Where />
        <nav aria-label={words.app.pages}>
          <PageLink page="connect" href="#/" text={words.app.connect} />
          <PageLink page="archive" href="#/archive" text={words.app.archive} />
          <PageLink page="cache" href="#/cache" text={words.app.cache} />
        </nav>
        <span class="spring" />
        <Units />
        <button
          type="button"
          class="toggle"
          aria-pressed={force.value}
          disabled={!mayForce.value}
          title={mayForce.value ? words.force.off : words.force.notYours}
          onClick={() => (force.value = !force.value)}
        >
          {words.force.toggle}
        </button>
        <Who />
      </header>
      <div role="status" class="live">
        {force.value && (
          <p class="forced">
            <strong>{words.force.on}</strong>
            <button type="button" onClick={() => (force.value = false)}>
              {words.force.stop}
            </button>
          </p>
        )}
      </div>
    </>
  );
}

function PageLink({ page, href, text }: { page: string; href: string; text: string }) {
  return (
    <a href={href} aria-current={route.value.page === page ? "page" : undefined}>
      {text}
    </a>
  );
}

function Where() {
  const at = route.value;
  if (!("unit" in at)) return null;
  const key = keyOf(at.unit);
  return (
    <span class="where">
      <a href={linkTo(at.unit)}>{serials.value.get(key) ?? key}</a>
      {simulated.value.has(key) && (
        <strong class="badge" title={words.app.simulatedWhy}>
          {words.app.simulated}
        </strong>
      )}
    </span>
  );
}

function Units() {
  return (
    <span class="units" role="group" aria-label={words.units.legend}>
      <select
        aria-label={words.units.ground}
        value={unitsOf.value}
        onChange={(event) => (unitsOf.value = event.currentTarget.value as GroundUnit)}
      >
        {GROUND.map((unit) => (
          <option key={unit}>{unit}</option>
        ))}
      </select>
      <select
        aria-label={words.units.air}
        value={airUnits.value}
        onChange={(event) => (airUnits.value = event.currentTarget.value as AirUnit)}
      >
        {AIR.map((unit) => (
          <option key={unit}>{unit}</option>
        ))}
      </select>
    </span>
  );
}

function Who() {
  const { role, csrf, name } = me.value;
  if (!isMeKnown.value) return null;
  return (
    <span class="who">
      <span>{role ? words.who.as(name, words.who.roles[role]) : words.who.nobody}</span>
      {csrf ? (
        <button type="button" class="quiet" onClick={() => void signOut()}>
          {words.who.signOut}
        </button>
      ) : (
        <button type="button" class="quiet" onClick={() => (wantsToken.value = true)}>
          {words.who.signIn}
        </button>
      )}
    </span>
  );
}
