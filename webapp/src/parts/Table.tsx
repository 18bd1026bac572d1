import type { ComponentChildren } from "preact";
import { Scroll } from "./Scroll";

interface Props {
  /** What the table is, for who cannot see it. */
  caption: string;
  heads: readonly string[];
  /** What a last column of buttons does: heard, and not seen. */
  action?: string | false;
  children: ComponentChildren;
}

/** A table that may be wider than the page; its rows are given. */
export function Table({ caption, heads, action, children }: Props) {
  return (
    <Scroll label={caption}>
      <table>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col">
                {head}
              </th>
            ))}
            {action && (
              <th scope="col">
                <span class="hidden">{action}</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </Scroll>
  );
}
