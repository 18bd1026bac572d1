import { useId, useState } from "preact/hooks";
import type { Schemas } from "../api/client";
import { words } from "../words";

interface Props {
  title: string;
  /** Host or serial port. */
  name: { label: string; example: string; bad: string; help?: string; choices?: readonly Schemas["PortOut"][] };
  /** TCP port or speed. */
  number: { label: string; usual: number; most: number; bad: string };
  onOpen: (name: string, number: number) => void;
}

const isName = (name: string): boolean => name !== "" && !/\s/.test(name);
const isWhole = (digits: string, most: number): boolean => /^\d+$/.test(digits) && Number(digits) >= 1 && Number(digits) <= most;

/** Where a unit is: a name, and a number beside it. */
export function AddressForm({ title, name, number, onOpen }: Props) {
  const id = useId();
  const [typed, setTyped] = useState("");
  const [digits, setDigits] = useState(String(number.usual));
  const [wrong, setWrong] = useState<string | null>(null);
  const submit = (event: Event): void => {
    event.preventDefault();
    const problem = !isName(typed.trim()) ? name.bad : !isWhole(digits.trim(), number.most) ? number.bad : null;
    setWrong(problem);
    if (!problem) onOpen(typed.trim(), Number(digits));
  };
  return (
    <form class="block" onSubmit={submit} noValidate aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      <label>
        {name.label}
        <input
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          placeholder={name.example}
          aria-describedby={name.help ? `${id}-help` : undefined}
          aria-invalid={wrong === name.bad}
          list={name.choices?.length ? `${id}-list` : undefined}
          value={typed}
          onInput={(event) => setTyped(event.currentTarget.value)}
        />
        {/* Heard as the description, not as a part of the name. */}
        {name.help && <small id={`${id}-help`} aria-hidden="true">{name.help}</small>}
      </label>
      {name.choices && (
        <datalist id={`${id}-list`}>
          {name.choices.map(({ port, description }) => (
            <option key={port} value={port} label={description ?? port} />
          ))}
        </datalist>
      )}
      <label>
        {number.label}
        <input
          inputMode="numeric"
          aria-invalid={wrong === number.bad}
          value={digits}
          onInput={(event) => setDigits(event.currentTarget.value)}
        />
      </label>
      <p class="wrong" role="alert">
        {wrong}
      </p>
      <button type="submit" class="main">
        {words.connect.open}
      </button>
    </form>
  );
}
