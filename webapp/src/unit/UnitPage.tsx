import type { Schemas, Unit } from "../api/client";
import { FetchAll } from "../commands/FetchAll";
import { Monitoring } from "../commands/Monitoring";
import { useResource } from "../data/resource";
import { Block } from "../parts/Block";
import { Progress } from "../parts/Progress";
import { linkTo } from "../route";
import { now } from "../state";
import { words } from "../words";
import { Identity } from "./Identity";
import { Setup } from "./Setup";
import { StateNow } from "./StateNow";
import { UnitFrame } from "./UnitFrame";
import { useInfo } from "./useInfo";
import { Warnings } from "./Warnings";
import { calibrationWarning, warningsOf } from "./warnings";

const STATUS_EVERY_S = 15;

/** What a unit does now, what somebody must do about it, what it is and how it records. */
export function UnitPage({ unit }: { unit: Unit }) {
  const info = useInfo(unit);
  const status = useResource<Schemas["StatusOut"]>({
    path: "/device/monitor/status",
    unit,
    everyS: STATUS_EVERY_S,
  });
  const calibration = info.body && calibrationWarning(info.body.calibrated_on, new Date(now.value));
  return (
    <UnitFrame unit={unit} page={words.unit.overview} resources={[status, info]}>
      <Warnings of={[...(status.body ? warningsOf(status.body) : []), ...(calibration ? [calibration] : [])]} />
      <Block title={words.unit.state} resource={status}>
        {(body) => <StateNow status={body} />}
      </Block>
      <div class="block next">
        <Monitoring unit={unit} status={status}>
          <a class="button main" href={linkTo(unit, "events")}>
            {words.unit.showEvents}
          </a>
        </Monitoring>
        <FetchAll unit={unit} />
      </div>
      <Progress unit={unit} />
      <div class="columns">
        <Block title={words.unit.setup} resource={info}>
          {(body) => <Setup setup={body.setup} />}
        </Block>
        <Block title={words.unit.identity} resource={info}>
          {(body) => <Identity info={body} />}
        </Block>
      </div>
    </UnitFrame>
  );
}
