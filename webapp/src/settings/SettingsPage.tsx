import { PageTitle } from "../parts/PageTitle";
import { atLeast } from "../state";
import { words } from "../words";

const text = words.settings;

const PAGES = [
  ["viewer", "#/settings/cache", text.cache, text.cacheWhy],
  ["admin", "#/settings/tokens", text.tokens, text.tokensWhy],
  ["admin", "#/settings/audit", text.audit, text.auditWhy],
] as const;

/** What those who run the relay look after; each sees what their role permits. */
export function SettingsPage() {
  return (
    <>
      <PageTitle title={text.title} />
      <ul class="block choices">
        {PAGES.filter(([role]) => atLeast(role)).map(([, href, name, why]) => (
          <li key={href}>
            <a href={href}>{name}</a> <span class="faint">{why}</span>
          </li>
        ))}
      </ul>
      <p class="faint">{text.measures}</p>
    </>
  );
}
