import { useId, useState } from "preact/hooks";
import type { Schemas } from "../api/client";
import { unitFrom } from "../api/device";
import { linkTo } from "../route";
import { words } from "../words";

const text = words.connect;

interface Props {
  units: readonly Schemas["UnitOut"][];
  ports: readonly Schemas["PortOut"][];
}

/** Opens a unit by whatever people know of it: address, serial port, name or serial number. */
export function OpenForm({ units, ports }: Props) {
  const id = useId();
  const [typed, setTyped] = useState("");
  const [isWrong, setWrong] = useState(false);
  const submit = (event: Event): void => {
    event.preventDefault();
    const unit = unitFrom(typed);
    setWrong(unit === null);
    if (unit) location.hash = linkTo(unit);
  };
  return (
    <form class="block" onSubmit={submit} noValidate aria-labelledby={id}>
      <h2 id={id}>{text.openTitle}</h2>
      <label>
        {text.which}
        <input
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          placeholder={text.example}
          aria-describedby={`${id}-help`}
          aria-invalid={isWrong}
          list={`${id}-list`}
          value={typed}
          onInput={(event) => setTyped(event.currentTarget.value)}
        />
      </label>
      <small id={`${id}-help`} class="help">
        {ports.length > 0 && `${text.portsFound(ports.length)} `}
        {text.help}
      </small>
      <datalist id={`${id}-list`}>
        {units.map(({ name, serial }) => (
          <option key={name ?? serial} value={name ?? serial ?? ""} label={(name && serial) ?? ""} />
        ))}
        {ports.map(({ port, description }) => (
          <option key={port} value={port} label={description ?? port} />
        ))}
      </datalist>
      <p class="wrong" role="alert">
        {isWrong && text.bad}
      </p>
      <button type="submit" class="main">
        {text.open}
      </button>
    </form>
  );
}
