import { render } from "preact";

render(<p>seismo-relay</p>, document.getElementById("app")!);
