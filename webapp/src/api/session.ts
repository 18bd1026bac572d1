// Who asks.
import { ask, presentCsrf, type Schemas } from "./client";

export type Session = Schemas["SessionOut"];

async function taken(asking: Promise<{ body: Session }>): Promise<Session> {
  const { body } = await asking;
  presentCsrf(body.csrf);
  return body;
}

/** Ask the relay who asks; throws a `Problem`. */
export function whoAsks(): Promise<Session> {
  return taken(ask<Session>("GET", "/session"));
}

/** Begin a session with a token; throws a `Problem`. */
export function signIn(token: string): Promise<Session> {
  return taken(ask<Session>("POST", "/session", { body: { token } }));
}

/** End the session of this browser. */
export async function signOut(): Promise<Session> {
  await ask("DELETE", "/session");
  return whoAsks();
}
