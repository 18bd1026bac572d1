import type { Schemas, Unit } from "../api/client";
import { useResource } from "../data/resource";
import { Block } from "../parts/Block";
import { atLeast } from "../state";
import { StateNow } from "../unit/StateNow";
import { UnitFrame } from "../unit/UnitFrame";
import { useInfo } from "../unit/useInfo";
import { words } from "../words";
import { CallHome } from "./CallHome";
import { Erase } from "./Erase";
import { GROUPS, RECORDING } from "./fields";
import { Monitoring } from "./Monitoring";
import { Rescue } from "./Rescue";
import { SettingsForm } from "./SettingsForm";

const text = words.commands;
const STATUS_EVERY_S = 15;

/** What changes a unit, for those who may. */
export function CommandsPage({ unit }: { unit: Unit }) {
  const may = atLeast("operator");
  const info = useInfo(unit);
  const status = useResource<Schemas["StatusOut"]>(
    may ? { path: "/device/monitor/status", unit, everyS: STATUS_EVERY_S } : null,
  );
  const serial = info.body?.serial ?? null;
  return (
    <UnitFrame unit={unit} page={text.title} resources={may ? [status, info] : []}>
      {may ? (
        <>
          <p class="faint">{text.once}</p>
          <Block title={words.unit.state} resource={status}>
            {(body) => <StateNow status={body} />}
          </Block>
          <section class="block" aria-labelledby="monitoring">
            <h2 id="monitoring">{text.monitoring.title}</h2>
            <Monitoring unit={unit} status={status} isWhole />
          </section>
          <Block title={text.settings.title} resource={info}>
            {(body) => (
              <>
                <p>{text.settings.intro}</p>
                <SettingsForm
                  unit={unit}
                  serial={body.serial}
                  path="/device/config"
                  fields={RECORDING}
                  groups={GROUPS}
                  current={body.setup}
                  onWritten={info.reload}
                />
              </>
            )}
          </Block>
          {serial !== null && <CallHome unit={unit} serial={serial} />}
          {atLeast("admin") && (
            <>
              {serial !== null && <Erase unit={unit} serial={serial} onErased={status.reload} />}
              <Rescue unit={unit} serial={serial} onRescued={info.reload} />
            </>
          )}
        </>
      ) : (
        <p>{text.notYours}</p>
      )}
    </UnitFrame>
  );
}
