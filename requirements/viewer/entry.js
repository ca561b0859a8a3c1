export { Niivue } from "@niivue/niivue";
