// How a list of events is looked at, as the address of its page says it: order and filters.
import { useMemo } from "preact/hooks";
import { fragment, look, viewOf } from "../route";
import { isColumn, type Sort } from "./choose";

/** Filters as they are typed; levels in the relay's units of measure, whatever they are shown in. */
export interface Typed {
  /** In in/s. */
  minPvs: string;
  /** In psi. */
  minMic: string;
  since: string;
  until: string;
  project: string;
}

export const NOTHING_TYPED: Typed = { minPvs: "", minMic: "", since: "", until: "", project: "" };

/** Return the order that an address names, as `sort=-pvs`. */
export function sortOf(view: URLSearchParams, otherwise: Sort): Sort {
  const text = view.get("sort") ?? "";
  const by = text.replace(/^-/, "");
  return isColumn(by) ? { by, isDescending: text.startsWith("-") } : otherwise;
}

export function typedOf(view: URLSearchParams): Typed {
  return {
    minPvs: view.get("min_pvs") ?? "",
    minMic: view.get("min_mic") ?? "",
    since: view.get("since") ?? "",
    until: view.get("until") ?? "",
    project: view.get("project") ?? "",
  };
}

export const textOf = ({ by, isDescending }: Sort): string => `${isDescending ? "-" : ""}${by}`;

export interface View {
  sort: Sort;
  typed: Typed;
  setSort: (sort: Sort) => void;
  setTyped: (typed: Typed) => void;
}

/** Return how the list is looked at, and change it in the address. */
export function useView(otherwise: Sort): View {
  const query = fragment.value.split("?")[1] ?? "";
  const view = useMemo(() => viewOf(`?${query}`), [query]);
  const sort = useMemo(() => sortOf(view, otherwise), [view]);
  const typed = useMemo(() => typedOf(view), [view]);
  return {
    sort,
    typed,
    // Another order or choice begins at its top.
    setSort: (next) => look({ sort: textOf(next) === textOf(otherwise) ? "" : textOf(next), row: "" }),
    setTyped: ({ minPvs, minMic, since, until, project }) =>
      look({ min_pvs: minPvs, min_mic: minMic, since, until, project, row: "" }),
  };
}
