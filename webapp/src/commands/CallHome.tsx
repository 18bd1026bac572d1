import { useState } from "preact/hooks";
import type { Schemas, Unit } from "../api/client";
import { useResource } from "../data/resource";
import { Block } from "../parts/Block";
import { Troubles } from "../parts/Trouble";
import { words } from "../words";
import { CALL_HOME } from "./fields";
import { SettingsForm } from "./SettingsForm";

const text = words.commands.callHome;

/** When and whom the unit calls. Each look asks the unit, so it is only done when somebody wants it. */
export function CallHome({ unit, serial }: { unit: Unit; serial: string }) {
  const [isWanted, setIsWanted] = useState(false);
  const reading = useResource<Schemas["CallHomeOut"]>(isWanted ? { path: "/device/call_home", unit } : null);
  if (!isWanted) {
    return (
      <section class="block" aria-labelledby="call-home">
        <h2 id="call-home">{text.title}</h2>
        <p>{text.intro}</p>
        <button type="button" onClick={() => setIsWanted(true)}>
          {text.read}
        </button>
      </section>
    );
  }
  if (reading.problem && !reading.body) return <Troubles of={[reading]} />;
  return (
    <Block title={text.title} resource={reading}>
      {({ provenance: _, ...current }) => (
        <>
          <p>{text.intro}</p>
          <SettingsForm
            unit={unit}
            serial={serial}
            path="/device/call_home"
            fields={CALL_HOME}
            groups={[[text.title, CALL_HOME.map(({ name }) => name)]]}
            current={current}
            onWritten={reading.reload}
          />
        </>
      )}
    </Block>
  );
}
