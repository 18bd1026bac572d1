import { describe, expect, it } from "vitest";
import { CALL_HOME, changeOf, RECORDING } from "./fields";

const SETUP = {
  mode: "continuous",
  sample_rate_hz: 1024,
  histogram_interval_s: null,
  record_time_s: 3,
  geo_range_in_s: 10,
  trigger_level_in_s: 0.5,
  alarm_level_in_s: 1,
  mic_trigger_psi: 0.045,
  project: "North face",
};
const HOME = { enabled: false, first_time: "00:00", retries: 3 };

const of = (edits: Record<string, string>) => changeOf(RECORDING, SETUP, edits);

describe("what a form changes", () => {
  it("is only what was edited, in the types of the API", () => {
    expect(of({})).toEqual({ body: {}, wrong: {} });
    expect(of({ mode: "single_shot", sample_rate_hz: "2048", record_time_s: "4.5", project: "" })).toEqual({
      body: { mode: "single_shot", sample_rate_hz: 2048, record_time_s: 4.5, project: "" },
      wrong: {},
    });
    expect(changeOf(CALL_HOME, HOME, { enabled: "true", first_time: "23:59", retries: "0" }).body).toEqual({
      enabled: true,
      first_time: "23:59",
      retries: 0,
    });
  });

  it("is nothing where an edit says the same", () => {
    expect(of({ sample_rate_hz: "1024", record_time_s: "3.0", project: "North face" })).toEqual({
      body: {},
      wrong: {},
    });
    expect(changeOf(CALL_HOME, HOME, { enabled: "false" }).body).toEqual({});
  });

  it.each([
    ["record_time_s", "0.9"],
    ["record_time_s", "101"],
    ["record_time_s", ""],
    ["record_time_s", "three"],
    ["trigger_level_in_s", "0.01"],
    ["mic_trigger_psi", "0.2"],
    ["project", "北侧 5m"],
    ["project", "x".repeat(65)],
  ])("is wrong: %s = %s", (name, text) => {
    const change = of({ [name]: text });
    expect(Object.keys(change.wrong)).toEqual([name]);
    expect(change.body).toEqual({});
  });

  it.each([
    ["first_time", "24:00"],
    ["first_time", "7:00"],
    ["retries", "1.5"],
    ["retries", "256"],
  ])("is wrong: %s = %s", (name, text) => {
    expect(Object.keys(changeOf(CALL_HOME, HOME, { [name]: text }).wrong)).toEqual([name]);
  });

  it("holds the levels against each other and the range", () => {
    expect(of({ trigger_level_in_s: "2" }).wrong).toHaveProperty("alarm_level_in_s");
    expect(of({ trigger_level_in_s: "2", alarm_level_in_s: "2" }).wrong).toEqual({});
    expect(of({ geo_range_in_s: "1.25", alarm_level_in_s: "5" }).wrong).toHaveProperty("alarm_level_in_s");
    const unknown = changeOf(
      RECORDING,
      { ...SETUP, geo_range_in_s: null, alarm_level_in_s: null },
      { trigger_level_in_s: "9" },
    );
    expect(unknown.wrong).toEqual({});
  });
});
