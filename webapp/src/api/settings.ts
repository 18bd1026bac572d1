// What the settings of a unit may be. Made by `make types` of what the relay says; written by nobody.

/** As `POST /device/config` takes them. */
export const RECORDING = [
  {"name":"mode","kind":"choice","choices":["single_shot","continuous","histogram","histogram_combo"],"unit":""},
  {"name":"sample_rate_hz","kind":"choice","choices":[1024,2048,4096],"unit":"Hz"},
  {"name":"histogram_interval_s","kind":"choice","choices":[2,5,15,60,300,900],"unit":"s"},
  {"name":"record_time_s","kind":"number","low":1,"high":100,"unit":"s"},
  {"name":"geo_range_in_s","kind":"choice","choices":[10,1.25],"unit":"in/s"},
  {"name":"trigger_level_in_s","kind":"number","low":0.02,"high":10,"unit":"in/s"},
  {"name":"alarm_level_in_s","kind":"number","low":0.02,"high":10,"unit":"in/s"},
  {"name":"mic_trigger_psi","kind":"number","low":0.0001,"high":0.1,"unit":"psi"},
  {"name":"mic_alarm_psi","kind":"number","low":0.0001,"high":0.1,"unit":"psi"},
  {"name":"project","kind":"text","most":64,"pattern":"^[\\x20-\\x7e\\xa1-\\xac\\xae-\\xff€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]*$"},
  {"name":"client","kind":"text","most":64,"pattern":"^[\\x20-\\x7e\\xa1-\\xac\\xae-\\xff€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]*$"},
  {"name":"operator","kind":"text","most":64,"pattern":"^[\\x20-\\x7e\\xa1-\\xac\\xae-\\xff€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]*$"},
  {"name":"location","kind":"text","most":64,"pattern":"^[\\x20-\\x7e\\xa1-\\xac\\xae-\\xff€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]*$"},
  {"name":"notes","kind":"text","most":64,"pattern":"^[\\x20-\\x7e\\xa1-\\xac\\xae-\\xff€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]*$"},
] as const;

/** As `POST /device/call_home` takes them. */
export const CALL_HOME = [
  {"name":"enabled","kind":"switch"},
  {"name":"dial","kind":"text","most":39,"pattern":"^[\\x20-\\x7e]*$"},
  {"name":"after_event","kind":"switch"},
  {"name":"at_times","kind":"switch"},
  {"name":"first_enabled","kind":"switch"},
  {"name":"first_time","kind":"time","pattern":"^([01]\\d|2[0-3]):([0-5]\\d)$"},
  {"name":"second_enabled","kind":"switch"},
  {"name":"second_time","kind":"time","pattern":"^([01]\\d|2[0-3]):([0-5]\\d)$"},
  {"name":"retries","kind":"number","low":0,"high":255,"unit":"","isWhole":true},
  {"name":"retry_wait_s","kind":"number","low":0,"high":255,"unit":"s","isWhole":true},
  {"name":"connect_wait_s","kind":"number","low":0,"high":255,"unit":"s","isWhole":true},
  {"name":"warm_up_s","kind":"number","low":0,"high":255,"unit":"s","isWhole":true},
] as const;
