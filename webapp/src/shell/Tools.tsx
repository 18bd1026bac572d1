import { signOut } from "../api/session";
import { forgetAnswers } from "../data/answers";
import {
  type AirUnit,
  airUnits,
  force,
  type GroundUnit,
  isMeKnown,
  mayForce,
  me,
  noteSession,
  unitsOf,
  wantsToken,
} from "../state";
import { words } from "../words";

const GROUND: readonly GroundUnit[] = ["in/s", "mm/s"];
const AIR: readonly AirUnit[] = ["dB(L)", "Pa", "psi"];

/** What holds on every page: units of measure, how reads are done, and who asks. */
export function Tools() {
  return (
    <aside class="tools" aria-label={words.units.tools}>
      <Choice
        label={words.units.ground}
        among={GROUND}
        chosen={unitsOf.value}
        onChoose={(one) => (unitsOf.value = one)}
      />
      <Choice label={words.units.air} among={AIR} chosen={airUnits.value} onChoose={(one) => (airUnits.value = one)} />
      <button
        type="button"
        class="toggle"
        aria-pressed={force.value}
        disabled={!mayForce.value}
        title={mayForce.value ? words.force.does : words.force.notYours}
        onClick={() => (force.value = !force.value)}
      >
        {words.force.toggle}
      </button>
      <Who />
    </aside>
  );
}

interface Props<T extends string> {
  label: string;
  among: readonly T[];
  chosen: T;
  onChoose: (one: T) => void;
}

function Choice<T extends string>({ label, among, chosen, onChoose }: Props<T>) {
  return (
    <select aria-label={label} value={chosen} onChange={(event) => onChoose(event.currentTarget.value as T)}>
      {among.map((one) => (
        <option key={one}>{one}</option>
      ))}
    </select>
  );
}

function Who() {
  const { role, csrf, name } = me.value;
  if (!isMeKnown.value) return null;
  const leave = async (): Promise<void> => {
    const session = await signOut();
    forgetAnswers();
    noteSession(session);
  };
  return (
    <span class="who">
      <span>{role ? words.who.as(name, words.who.roles[role]) : words.who.nobody}</span>
      {csrf ? (
        <button type="button" class="quiet" onClick={() => void leave()}>
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
