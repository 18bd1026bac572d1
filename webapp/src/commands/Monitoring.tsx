import type { ComponentChildren } from "preact";
import type { Answer, Schemas, Unit } from "../api/client";
import { command } from "../api/device";
import { longCommand } from "../api/operation";
import type { Resource } from "../data/resource";
import { measured } from "../parts/measures";
import { Progress } from "../parts/Progress";
import { plainly } from "../parts/plainly";
import { atLeast, noteProblem } from "../state";
import { words } from "../words";
import { type Giving, useGiving } from "./giving";
import { OutcomeBox } from "./OutcomeBox";

const text = words.commands.monitoring;

type Done = Schemas["MonitorOut"];

interface Props {
  unit: Unit;
  status: Resource<Schemas["StatusOut"]>;
  /** Whether every way to stop is offered. */
  isWhole?: boolean;
  /** Other buttons of the same row. */
  children?: ComponentChildren;
}

/**
 * Start and stop. A start is followed through the unit's sensor check, and can be stopped meanwhile; then it has not
 * succeeded, also when another person stopped it.
 */
export function Monitoring({ unit, status, isWhole = false, children }: Props) {
  const start = useGiving<Done>();
  const stop = useGiving<Done>();
  const give = async (giving: Giving<Done>, other: Giving<Done>, order: () => Promise<Answer<Done>>): Promise<void> => {
    if (!other.isGoing) other.clear();
    await giving.give(order);
    status.reload();
  };
  const isMonitoring = status.body?.monitoring === true;
  const stopButton = (
    <button
      type="button"
      class="large"
      disabled={stop.isGoing}
      onClick={() => void give(stop, start, () => command(unit, "/device/monitor/stop"))}
    >
      {text.stop}
    </button>
  );
  const startButton = (
    <button
      type="button"
      class="large"
      disabled={start.isGoing || stop.isGoing}
      onClick={() =>
        void give(start, stop, () => longCommand(unit, "/device/monitor/start", {}, { onLost: noteProblem }))
      }
    >
      {text.start}
    </button>
  );
  return (
    <>
      <div class="large-buttons">
        {atLeast("operator") && (
          <>
            {(isWhole || !isMonitoring) && startButton}
            {(isWhole || isMonitoring || start.isGoing) && stopButton}
          </>
        )}
        {children}
      </div>
      {isWhole && (
        <p>
          <button
            type="button"
            class="quiet"
            disabled={stop.isGoing}
            title={text.noReplyWhy}
            onClick={() =>
              void give(stop, start, () => command(unit, "/device/monitor/stop", undefined, { wait_for_reply: false }))
            }
          >
            {text.noReply}
          </button>
        </p>
      )}
      {(isWhole || start.isGoing) && <p class="faint">{text.check}</p>}
      {start.isGoing && <Progress unit={unit} only="monitor_start" />}
      <Ended giving={start} wanted status={status} />
      <Ended giving={stop} wanted={false} status={status} />
    </>
  );
}

interface End {
  giving: Giving<Done>;
  /** Whether the unit was to monitor. */
  wanted: boolean;
  status: Resource<Schemas["StatusOut"]>;
}

function Ended({ giving, wanted, status }: End) {
  return (
    <OutcomeBox
      of={giving}
      onLook={status.refresh}
      // A unit whose state could not be read afterwards may be as it was wanted.
      isReached={({ monitoring }) => monitoring === wanted || monitoring === null || monitoring === undefined}
    >
      {(done) => (
        <>
          <p>
            {text.seen[String(done.monitoring ?? null) as "true" | "false" | "null"]}{" "}
            {done.waited_s !== null && done.waited_s !== undefined && text.waited(measured(done.waited_s, "s", 0))}
          </p>
          {wanted && done.monitoring === false && <p>{text.stopped}</p>}
          {done.reported && <p class="detail">{plainly(done.reported)}</p>}
        </>
      )}
    </OutcomeBox>
  );
}
