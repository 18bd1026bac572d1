import type { Schemas, Unit } from "../api/client";
import { Block } from "../parts/Block";
import { useReading } from "../parts/reading";
import { atLeast } from "../state";
import { StateNow } from "../unit/StateNow";
import { UnitHead } from "../unit/UnitHead";
import { useInfo } from "../unit/useInfo";
import { words } from "../words";
import { CallHome } from "./CallHome";
import { Erase } from "./Erase";
import { RECORDING } from "./fields";
import { Monitoring } from "./Monitoring";
import { Rescue } from "./Rescue";
import { SettingsForm } from "./SettingsForm";

const text = words.commands;
const STATUS_EVERY_S = 15;

/** What changes a unit, for those who may. */
export function CommandsPage({ unit }: { unit: Unit }) {
  return (
    <>
      <UnitHead unit={unit} />
      {atLeast("operator") ? <Commands unit={unit} /> : <p>{text.notYours}</p>}
    </>
  );
}

function Commands({ unit }: { unit: Unit }) {
  const info = useInfo(unit);
  const status = useReading<Schemas["StatusOut"]>(unit, "/device/monitor/status", STATUS_EVERY_S);
  const serial = info.body?.serial ?? null;
  return (
    <>
      <p class="faint">{text.once}</p>
      <div class="columns">
        <Block title={words.unit.state} reading={status}>
          {(body) => <StateNow status={body} />}
        </Block>
        <Monitoring unit={unit} status={status} />
      </div>
      <Block title={text.settings.title} reading={info}>
        {(body) => (
          <>
            <p>{text.settings.intro}</p>
            <SettingsForm
              unit={unit}
              serial={body.serial}
              path="/device/config"
              fields={RECORDING}
              current={body.setup}
              onWritten={info.again}
            />
          </>
        )}
      </Block>
      {serial !== null && <CallHome unit={unit} serial={serial} />}
      {atLeast("admin") && (
        <>
          {serial !== null && <Erase unit={unit} serial={serial} onErased={status.again} />}
          <Rescue unit={unit} serial={serial} onRescued={info.again} />
        </>
      )}
    </>
  );
}
