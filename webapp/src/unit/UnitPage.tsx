import type { Schemas, Unit } from "../api/client";
import { Block } from "../parts/Block";
import { Progress } from "../parts/Progress";
import { useReading } from "../parts/reading";
import { words } from "../words";
import { Identity } from "./Identity";
import { Setup } from "./Setup";
import { StateNow } from "./StateNow";
import { UnitHead } from "./UnitHead";
import { useInfo } from "./useInfo";

const STATUS_EVERY_S = 15;

/** What a unit is, how it records and what it does now. */
export function UnitPage({ unit }: { unit: Unit }) {
  const info = useInfo(unit);
  const status = useReading<Schemas["StatusOut"]>(unit, "/device/monitor/status", STATUS_EVERY_S);
  return (
    <>
      <UnitHead unit={unit} />
      <Progress unit={unit} />
      <div class="columns">
        <Block title={words.unit.state} reading={status}>
          {(body) => <StateNow status={body} />}
        </Block>
        <Block title={words.unit.identity} reading={info}>
          {(body) => <Identity info={body} />}
        </Block>
        <Block title={words.unit.setup} reading={info}>
          {(body) => <Setup setup={body.setup} />}
        </Block>
      </div>
    </>
  );
}
