import { useState } from "preact/hooks";
import type { Schemas, Unit } from "../api/client";
import { Block } from "../parts/Block";
import { useReading } from "../parts/reading";
import { words } from "../words";
import { CALL_HOME } from "./fields";
import { SettingsForm } from "./SettingsForm";

const text = words.commands.callHome;

/** When and whom the unit calls. Each look asks the unit, so it is only done when somebody wants it. */
export function CallHome({ unit, serial }: { unit: Unit; serial: string }) {
  const [isWanted, setIsWanted] = useState(false);
  const reading = useReading<Schemas["CallHomeOut"]>(unit, "/device/call_home", undefined, isWanted);
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
  return (
    <Block title={text.title} reading={reading}>
      {({ provenance: _, ...current }) => (
        <>
          <p>{text.intro}</p>
          <SettingsForm
            unit={unit}
            serial={serial}
            path="/device/call_home"
            fields={CALL_HOME}
            current={current}
            onWritten={reading.again}
          />
        </>
      )}
    </Block>
  );
}
